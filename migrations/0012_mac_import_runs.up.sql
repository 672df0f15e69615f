CREATE TABLE mac_import_runs (
    id         uuid        NOT NULL,
    source     text        NOT NULL,
    tenant_id  text        NOT NULL,
    dry_run    boolean     NOT NULL,
    lines      bigint      NOT NULL,
    imported   bigint      NOT NULL,
    mapped     bigint      NOT NULL,
    conflicts  bigint      NOT NULL,
    invalid    bigint      NOT NULL,
    actor      text        NOT NULL DEFAULT '',
    request_id text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT mac_import_runs_pkey PRIMARY KEY (id),
    CONSTRAINT mac_import_runs_source_length CHECK (length(source) BETWEEN 1 AND 255)
);
COMMENT ON TABLE mac_import_runs IS 'What came of every import that was read to its end, those that only checked included.';

-- A list of events goes on after one that is named by its id. Ids lie in the order of the rows, so a few pages of summaries do, which cost writers nothing.
CREATE INDEX mac_events_id ON mac_events USING brin (id) WITH (pages_per_range = 32, autosummarize = on);
