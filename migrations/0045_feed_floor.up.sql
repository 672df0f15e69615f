-- Entries of the outbox that have their revision leave dead entries in the index of
-- those that have none. After a storm of changes these lie in pages of their own,
-- until somebody vacuums, and whoever begins with the oldest walks over them each time. So
-- rows know their transaction, and the index is by that: what is not numbered yet is
-- not of a transaction that was over when it was last looked.
ALTER TABLE outbox ADD COLUMN tx xid8;
ALTER TABLE outbox ALTER COLUMN tx SET DEFAULT pg_current_xact_id();
UPDATE outbox SET tx = '0' WHERE revision IS NULL;
ALTER TABLE outbox ADD CONSTRAINT outbox_tx_known CHECK (revision IS NOT NULL OR tx IS NOT NULL);
COMMENT ON COLUMN outbox.tx IS 'Transaction that wrote the row; null: older than the column.';
DROP INDEX outbox_unpublished;
CREATE INDEX outbox_unpublished ON outbox (tx) WHERE revision IS NULL;

-- Numbers what has been committed to the outbox. The lock is held until the
-- commit, so no revision becomes visible before a lower one; the statements
-- after it see all that its last holder published. A session remembers the oldest transaction
-- that was under way when it last numbered: all before that had been seen to by then. A
-- new one does not know, and begins with the oldest. Statistics never know how few
-- rows wait: whatever they say, these are found by their index.
CREATE OR REPLACE FUNCTION publish_changes(lock_key bigint, channel text) RETURNS void LANGUAGE plpgsql
    SET enable_bitmapscan = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    over_before CONSTANT xid8 := coalesce(nullif(current_setting('macloom.over_before', true), ''), '0')::xid8;
    under_way   xid8;
    newest      bigint;
    published   bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key);
    under_way := pg_snapshot_xmin(pg_current_snapshot());
    SELECT coalesce(max(revision), 0) INTO newest FROM outbox;
    WITH waiting AS MATERIALIZED (SELECT id FROM outbox WHERE revision IS NULL AND tx >= over_before)
    UPDATE outbox SET revision = fresh.revision
    FROM (SELECT id, newest + row_number() OVER (ORDER BY id) AS revision FROM waiting) AS fresh
    WHERE outbox.id = fresh.id;
    GET DIAGNOSTICS published = ROW_COUNT;
    PERFORM set_config('macloom.over_before', under_way::text, false);
    IF published > 0 THEN
        PERFORM pg_notify(channel, (newest + published)::text);
    END IF;
END $$;
