-- What becomes of a trunk follows from its ports: nobody has to write it down.
ALTER TABLE trunks DROP COLUMN status;

-- Whoever reads a port sees at once that it is in no trunk, as most are.
ALTER TABLE ports
    ADD COLUMN trunk_id uuid,
    ADD CONSTRAINT ports_trunk_fkey FOREIGN KEY (trunk_id) REFERENCES trunks (id) ON DELETE SET NULL;
CREATE INDEX ports_trunk ON ports (trunk_id) WHERE trunk_id IS NOT NULL;
COMMENT ON COLUMN ports.trunk_id IS 'The trunk whose parent or sub-port it is.';

UPDATE ports SET trunk_id = t.id FROM trunks t WHERE t.port_id = ports.id;
-- A sub-port shows what uses it, as new ones do.
UPDATE ports SET trunk_id = s.trunk_id, device_owner = 'trunk:subport', device_id = s.trunk_id::text, status = 'DOWN', status_reason = '',
    revision = revision + 1, updated_at = now()
FROM trunk_subports s WHERE s.port_id = ports.id;
UPDATE mac_addresses SET device_id = s.trunk_id::text, changed_at = now() FROM trunk_subports s WHERE s.port_id = mac_addresses.port_id;
