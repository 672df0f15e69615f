UPDATE mac_addresses SET device_id = '', changed_at = now() FROM trunk_subports s WHERE s.port_id = mac_addresses.port_id;
UPDATE ports SET device_owner = '', device_id = '', revision = revision + 1, updated_at = now()
FROM trunk_subports s WHERE s.port_id = ports.id AND ports.device_owner = 'trunk:subport';
ALTER TABLE ports DROP COLUMN trunk_id;

ALTER TABLE trunks
    ADD COLUMN status text NOT NULL DEFAULT 'DOWN',
    ADD CONSTRAINT trunks_status_known CHECK (status IN ('DOWN', 'ACTIVE', 'BUILD', 'DEGRADED', 'ERROR'));
COMMENT ON COLUMN trunks.status IS 'Realized state, written by the controller: a fact, not intent.';
