DELETE FROM security_group_rules WHERE remote_address_group_id IS NOT NULL;
DROP INDEX security_group_rules_no_duplicate;
ALTER TABLE security_group_rules
    DROP CONSTRAINT security_group_rules_one_remote,
    DROP COLUMN remote_address_group_id,
    ADD CONSTRAINT security_group_rules_one_remote CHECK (remote_prefix IS NULL OR remote_group_id IS NULL);
CREATE UNIQUE INDEX security_group_rules_no_duplicate ON security_group_rules (
    group_id, direction, ethertype, coalesce(protocol, -1), coalesce(port_min, -1), coalesce(port_max, -1),
    coalesce(network(remote_prefix), '::/0'::cidr), (remote_prefix IS NULL),
    coalesce(remote_group_id, '00000000-0000-0000-0000-000000000000'::uuid));

ALTER TABLE security_groups DROP COLUMN stateful;

DROP INDEX switches_hostname;
ALTER TABLE ports
    DROP COLUMN port_security,
    DROP COLUMN vnic_type,
    DROP COLUMN extras;
COMMENT ON COLUMN ports.host IS 'Datapath id as 16 hex digits that was asked for, or empty: wherever an interface with the id of the port appears.';

ALTER TABLE subnets
    DROP COLUMN ra_mode,
    DROP COLUMN address_mode,
    DROP COLUMN route_destinations,
    DROP COLUMN route_nexthops,
    DROP COLUMN service_types;

-- Networks that are not VXLAN keep their numbers, which are above all VNIs.
ALTER TABLE networks
    DROP CONSTRAINT networks_vni_range,
    DROP COLUMN network_type,
    DROP COLUMN physical_network,
    DROP COLUMN segmentation_id,
    DROP COLUMN external,
    DROP COLUMN is_default,
    DROP COLUMN port_security,
    DROP COLUMN dns_domain,
    DROP COLUMN zone_hints,
    ADD CONSTRAINT networks_vni_range CHECK (vni BETWEEN 1 AND 16777215) NOT VALID;
COMMENT ON COLUMN networks.vni IS NULL;
