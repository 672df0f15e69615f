DROP INDEX mac_events_id;
DROP TABLE mac_import_runs;
