DROP VIEW events;
DROP INDEX outbox_tenant_events;
DROP INDEX outbox_events;
ALTER TABLE outbox DROP COLUMN about, DROP COLUMN event;
