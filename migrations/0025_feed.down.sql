DROP INDEX outbox_revision_key;
ALTER TABLE outbox ADD CONSTRAINT outbox_revision_key UNIQUE (revision);
ALTER TABLE outbox DROP COLUMN fact;
DROP FUNCTION publish_changes(bigint, text);
