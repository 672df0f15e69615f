UPDATE ports SET status = 'DOWN', status_reason = '' WHERE status = 'ACTIVE' AND host = '';
ALTER TABLE ports ADD CONSTRAINT ports_unbound_not_active CHECK (status <> 'ACTIVE' OR host <> '');
COMMENT ON COLUMN ports.host IS 'Datapath id as 16 hex digits, or empty: unbound.';

DROP TABLE attachments;

-- Earlier versions let every switch in, so those that were turned away must not be known to them.
DELETE FROM switches WHERE NOT admitted;
ALTER TABLE switches
    DROP COLUMN repaired,
    DROP COLUMN capabilities,
    DROP COLUMN datapath_type,
    DROP COLUMN system_id,
    DROP COLUMN hostname,
    DROP COLUMN version,
    DROP COLUMN ovsdb_connected,
    DROP COLUMN integration,
    DROP COLUMN setup_error,
    DROP COLUMN admitted,
    DROP COLUMN judged_at,
    DROP COLUMN turned_away_at,
    DROP COLUMN turned_away_reason;
COMMENT ON TABLE switches IS 'What is known of each datapath: facts written by the controller.';
