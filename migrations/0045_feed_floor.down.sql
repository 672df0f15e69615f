CREATE OR REPLACE FUNCTION publish_changes(lock_key bigint, channel text) RETURNS void LANGUAGE plpgsql
    SET enable_bitmapscan = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    newest    bigint;
    published bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key);
    SELECT coalesce(max(revision), 0) INTO newest FROM outbox;
    UPDATE outbox SET revision = fresh.revision
    FROM (SELECT id, newest + row_number() OVER (ORDER BY id) AS revision FROM outbox WHERE revision IS NULL) AS fresh
    WHERE outbox.id = fresh.id;
    GET DIAGNOSTICS published = ROW_COUNT;
    IF published > 0 THEN
        PERFORM pg_notify(channel, (newest + published)::text);
    END IF;
END $$;
DROP INDEX outbox_unpublished;
ALTER TABLE outbox DROP COLUMN tx;
CREATE INDEX outbox_unpublished ON outbox (id) WHERE revision IS NULL;
