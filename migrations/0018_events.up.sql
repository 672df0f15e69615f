CREATE SEQUENCE audit_log_ids;
CREATE TABLE audit_log (
    id         bigint      NOT NULL DEFAULT nextval('audit_log_ids'),
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text        NOT NULL,
    request_id text        NOT NULL,
    tenant_id  text        NOT NULL,
    kind       text        NOT NULL,
    object_id  text        NOT NULL,
    op         text        NOT NULL,
    was        json,
    became     json
) PARTITION BY RANGE (at);
-- All but the objects' grow at their end only, so a row costs little in each.
CREATE INDEX audit_log_id ON audit_log (id);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_object ON audit_log (object_id, id);
CREATE INDEX audit_log_actor ON audit_log (actor, id) WHERE actor <> '';
CREATE INDEX audit_log_request ON audit_log (request_id) WHERE request_id <> '';
-- Takes what no month is there for, so that no writer ever fails or waits for want of one.
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;
-- The first months; the controller makes the others in time.
DO $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE format('CREATE TABLE audit_log_%s PARTITION OF audit_log FOR VALUES FROM (%L) TO (%L)',
            to_char(month, 'YYYY_MM'), month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
    END LOOP;
END $$;
COMMENT ON TABLE audit_log IS 'Who changed what. Only added to, in the transaction of the change. A partition per month of UTC.';
COMMENT ON COLUMN audit_log.tenant_id IS 'Owner of the object at the time; no foreign key anywhere, as the log outlives what it tells of.';
COMMENT ON COLUMN audit_log.was IS 'Attributes by their names in the API, before: those that changed; of an object that was deleted, all that were not empty.';
COMMENT ON COLUMN audit_log.became IS 'The same after the change; of a new object, all that are not empty.';

CREATE TABLE idempotency_keys (
    key     bytea       NOT NULL,
    request bytea       NOT NULL,
    status  int         NOT NULL,
    answer  bytea       NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key),
    CONSTRAINT idempotency_keys_hashes CHECK (length(key) = 32 AND length(request) = 32)
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);
COMMENT ON TABLE idempotency_keys IS 'Answers to requests with an Idempotency-Key, written in the transaction of what the request changed; kept for a day.';
COMMENT ON COLUMN idempotency_keys.key IS 'SHA-256 of the caller and the key.';
COMMENT ON COLUMN idempotency_keys.request IS 'SHA-256 of method, URL and body: another request may not use the key.';
