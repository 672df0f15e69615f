-- What becomes of a trunk follows from its ports: nobody has to write it down.
ALTER TABLE trunks DROP COLUMN status;

-- A sub-port shows what uses it, as new ones do.
UPDATE ports SET device_owner = 'trunk:subport', device_id = s.trunk_id::text, status = 'DOWN', status_reason = '', revision = revision + 1, updated_at = now()
FROM trunk_subports s WHERE s.port_id = ports.id;
UPDATE mac_addresses SET device_id = s.trunk_id::text, changed_at = now() FROM trunk_subports s WHERE s.port_id = mac_addresses.port_id;
