-- An event is an entry of the change feed that says what happened: so it has its
-- place in the order of commits, and costs no row of its own where the feed has one
-- anyway.
ALTER TABLE outbox ADD COLUMN event text, ADD COLUMN about json;
ALTER TABLE outbox ADD CONSTRAINT outbox_event_about CHECK ((event IS NULL) = (about IS NULL) AND event <> '');
COMMENT ON COLUMN outbox.event IS 'What kind of event it is; NULL: none.';
COMMENT ON COLUMN outbox.about IS 'What the event is about, by the names of the API; a MAC address as a number.';

-- Not before they are published, as that writes the row anew.
CREATE INDEX outbox_events ON outbox (revision) WHERE event IS NOT NULL AND revision IS NOT NULL;
CREATE INDEX outbox_tenant_events ON outbox (tenant_id, revision) WHERE event IS NOT NULL AND revision IS NOT NULL AND tenant_id <> '';

CREATE VIEW events AS
    SELECT revision AS id, at, event AS kind, tenant_id, about FROM outbox WHERE event IS NOT NULL AND revision IS NOT NULL;
COMMENT ON VIEW events IS 'What happened, in the order of commits, as far back as the feed reaches.';
