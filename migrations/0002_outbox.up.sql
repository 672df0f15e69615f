CREATE TABLE outbox (
    id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    revision   bigint,
    kind       text        NOT NULL,
    object_id  text        NOT NULL,
    tenant_id  text        NOT NULL DEFAULT '',
    op         text        NOT NULL,
    request_id text        NOT NULL DEFAULT '',
    at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_revision_key UNIQUE (revision),
    CONSTRAINT outbox_revision_range CHECK (revision > 0),
    CONSTRAINT outbox_op_known CHECK (op IN ('create', 'update', 'delete'))
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE revision IS NULL;
COMMENT ON TABLE outbox IS 'Change feed. Writers add rows without a revision in the transaction of the change; a publisher numbers committed rows, so that revisions become visible strictly in order.';
COMMENT ON COLUMN outbox.id IS 'Order of writing; not of commit, so never a position to resume from.';
COMMENT ON COLUMN outbox.revision IS 'Position in the feed, without gaps; NULL until published.';
COMMENT ON COLUMN outbox.tenant_id IS 'Owner at the time of the change; no foreign key, as the feed outlives its objects.';
