ALTER TABLE outbox DROP COLUMN fact;
DROP FUNCTION publish_changes(bigint, text);
