DELETE FROM security_group_rules WHERE remote_mac IS NOT NULL OR remote_mac_segment_id IS NOT NULL;
DROP INDEX security_group_rules_no_duplicate;
ALTER TABLE security_group_rules DROP COLUMN remote_mac, DROP COLUMN remote_mac_segment_id;
CREATE UNIQUE INDEX security_group_rules_no_duplicate ON security_group_rules (
    group_id, direction, ethertype, coalesce(protocol, -1), coalesce(port_min, -1), coalesce(port_max, -1),
    coalesce(network(remote_prefix), '::/0'::cidr), (remote_prefix IS NULL),
    coalesce(remote_group_id, remote_address_group_id, '00000000-0000-0000-0000-000000000000'::uuid));
