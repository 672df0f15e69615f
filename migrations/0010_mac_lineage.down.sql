DROP TABLE mac_events;
DROP SEQUENCE mac_event_ids;
