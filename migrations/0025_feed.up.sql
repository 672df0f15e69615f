-- Numbers what has been committed to the outbox. The lock is held until the
-- commit, so no revision becomes visible before a lower one; the statements
-- after it see all that its last holder published. Statistics never know how few
-- rows wait: whatever they say, these are found by their index, and in a way
-- that forgets the entries of those published before.
CREATE FUNCTION publish_changes(lock_key bigint, channel text) RETURNS void LANGUAGE plpgsql
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

ALTER TABLE outbox ADD COLUMN fact boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN outbox.fact IS 'Whether it tells of what became of an object in a switch, and not of what is wanted of it.';
-- What has no revision yet need not be among those that have one.
ALTER TABLE outbox DROP CONSTRAINT outbox_revision_key;
CREATE UNIQUE INDEX outbox_revision_key ON outbox (revision) WHERE revision IS NOT NULL;
