ALTER TABLE security_group_rules
    ADD COLUMN remote_mac bigint,
    ADD COLUMN remote_mac_segment_id uuid,
    ADD CONSTRAINT security_group_rules_remote_segment_fkey FOREIGN KEY (remote_mac_segment_id) REFERENCES mac_segments (id) ON DELETE RESTRICT,
    ADD CONSTRAINT security_group_rules_one_remote_mac CHECK (num_nonnulls(remote_mac, remote_mac_segment_id) <= 1),
    ADD CONSTRAINT security_group_rules_remote_mac_range CHECK (remote_mac BETWEEN 1 AND 281474976710655);
DROP INDEX security_group_rules_no_duplicate;
CREATE UNIQUE INDEX security_group_rules_no_duplicate ON security_group_rules (
    group_id, direction, ethertype, coalesce(protocol, -1), coalesce(port_min, -1), coalesce(port_max, -1),
    coalesce(network(remote_prefix), '::/0'::cidr), (remote_prefix IS NULL),
    coalesce(remote_group_id, remote_address_group_id, '00000000-0000-0000-0000-000000000000'::uuid),
    coalesce(remote_mac, -1), coalesce(remote_mac_segment_id, '00000000-0000-0000-0000-000000000000'::uuid));
CREATE INDEX security_group_rules_remote_segment ON security_group_rules (remote_mac_segment_id) WHERE remote_mac_segment_id IS NOT NULL;
COMMENT ON COLUMN security_group_rules.remote_mac IS 'MAC address of the other side; beside what else is asked of it.';
COMMENT ON COLUMN security_group_rules.remote_mac_segment_id IS 'MAC segment that the address of the other side is of.';
