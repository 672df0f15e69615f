DROP TABLE quotas;
DROP VIEW mac_usage_now;
DROP TABLE mac_usage_changes;
DROP TABLE mac_usage;
DROP TABLE mac_leases;
DROP SEQUENCE mac_fences;
DROP TRIGGER mac_segments_keep_used ON mac_segments;
DROP FUNCTION mac_segments_keep_used();
DELETE FROM mac_addresses WHERE port_id IS NULL;
DROP INDEX mac_addresses_port_key, mac_addresses_tenant, mac_addresses_device, mac_addresses_released, mac_addresses_cooling, mac_addresses_forgettable, mac_addresses_expiring, mac_addresses_ownerless;
ALTER TABLE mac_addresses
    DROP CONSTRAINT mac_addresses_port_fkey,
    DROP COLUMN tenant_id, DROP COLUMN state, DROP COLUMN origin, DROP COLUMN network_id, DROP COLUMN device_id,
    DROP COLUMN expires_at, DROP COLUMN free_at, DROP COLUMN changed_at,
    ALTER COLUMN port_id SET NOT NULL,
    ADD CONSTRAINT mac_addresses_port_key UNIQUE (port_id),
    ADD CONSTRAINT mac_addresses_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE CASCADE,
    ADD CONSTRAINT mac_addresses_segment_fkey FOREIGN KEY (segment_id) REFERENCES mac_segments (id) ON DELETE RESTRICT;
CREATE INDEX mac_addresses_segment ON mac_addresses (segment_id);
ALTER TABLE mac_segments
    DROP COLUMN host, DROP COLUMN strategy, DROP COLUMN scramble_key, DROP COLUMN quarantine_seconds,
    DROP COLUMN conflict_policy, DROP COLUMN conflict_delay_seconds, DROP COLUMN fresh;
