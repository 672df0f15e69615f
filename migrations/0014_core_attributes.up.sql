-- Networks: provider attributes and what else Neutron keeps of them.
ALTER TABLE networks
    ADD COLUMN network_type     text    NOT NULL DEFAULT 'vxlan',
    ADD COLUMN physical_network text,
    ADD COLUMN segmentation_id  integer,
    ADD COLUMN external         boolean NOT NULL DEFAULT false,
    ADD COLUMN is_default       boolean NOT NULL DEFAULT false,
    ADD COLUMN port_security    boolean NOT NULL DEFAULT true,
    ADD COLUMN dns_domain       text    NOT NULL DEFAULT '',
    ADD COLUMN zone_hints       text[]  NOT NULL DEFAULT '{}';
UPDATE networks SET segmentation_id = vni;
ALTER TABLE networks
    DROP CONSTRAINT networks_vni_range,
    ADD CONSTRAINT networks_vni_range CHECK (
        CASE network_type WHEN 'vxlan' THEN vni BETWEEN 1 AND 16777215 ELSE vni BETWEEN 16777216 AND 33554431 END),
    ADD CONSTRAINT networks_type_known CHECK (network_type IN ('vxlan', 'vlan', 'flat', 'geneve', 'gre', 'local')),
    ADD CONSTRAINT networks_segmentation CHECK (CASE network_type
        WHEN 'vxlan' THEN segmentation_id IS NOT NULL AND segmentation_id = vni
        WHEN 'vlan' THEN segmentation_id IS NOT NULL AND segmentation_id BETWEEN 1 AND 4094
        WHEN 'geneve' THEN segmentation_id IS NOT NULL AND segmentation_id BETWEEN 1 AND 16777215
        WHEN 'gre' THEN segmentation_id IS NOT NULL AND segmentation_id > 0
        ELSE segmentation_id IS NULL END),
    ADD CONSTRAINT networks_physical CHECK ((physical_network IS NOT NULL) = (network_type IN ('vlan', 'flat'))),
    ADD CONSTRAINT networks_default_is_external CHECK (external OR NOT is_default),
    ADD CONSTRAINT networks_physical_network_length CHECK (length(physical_network) <= 64),
    ADD CONSTRAINT networks_dns_domain_length CHECK (length(dns_domain) <= 255);
CREATE UNIQUE INDEX networks_vlan_key ON networks (physical_network, segmentation_id) WHERE network_type = 'vlan';
CREATE UNIQUE INDEX networks_flat_key ON networks (physical_network) WHERE network_type = 'flat';
CREATE UNIQUE INDEX networks_tunnel_key ON networks (network_type, segmentation_id) WHERE network_type IN ('geneve', 'gre');
CREATE UNIQUE INDEX networks_default_key ON networks (is_default) WHERE is_default;
CREATE INDEX networks_external ON networks (id) WHERE external;
COMMENT ON COLUMN networks.vni IS 'The metadata of its packets in the pipeline: the VNI of a VXLAN network, a number above all VNIs for any other.';
COMMENT ON COLUMN networks.segmentation_id IS 'As the operator names it: VNI, VLAN id, GRE key; none for flat and local networks.';

ALTER TABLE subnets
    ADD COLUMN ra_mode            text    NOT NULL DEFAULT '',
    ADD COLUMN address_mode       text    NOT NULL DEFAULT '',
    ADD COLUMN route_destinations cidr[]  NOT NULL DEFAULT '{}',
    ADD COLUMN route_nexthops     inet[]  NOT NULL DEFAULT '{}',
    ADD COLUMN service_types      text[]  NOT NULL DEFAULT '{}',
    ADD CONSTRAINT subnets_ra_mode_known CHECK (ra_mode IN ('', 'slaac', 'dhcpv6-stateful', 'dhcpv6-stateless')),
    ADD CONSTRAINT subnets_address_mode_known CHECK (address_mode IN ('', 'slaac', 'dhcpv6-stateful', 'dhcpv6-stateless')),
    ADD CONSTRAINT subnets_modes_agree CHECK (ra_mode = '' OR address_mode = '' OR ra_mode = address_mode),
    ADD CONSTRAINT subnets_modes_ipv6 CHECK ((ra_mode = '' AND address_mode = '') OR family(cidr) = 6),
    ADD CONSTRAINT subnets_automatic_64 CHECK (
        (ra_mode NOT IN ('slaac', 'dhcpv6-stateless') AND address_mode NOT IN ('slaac', 'dhcpv6-stateless')) OR masklen(cidr) = 64),
    ADD CONSTRAINT subnets_routes_whole CHECK (cardinality(route_destinations) = cardinality(route_nexthops));

-- Ports. What nobody looks ports up by, and most ports have nothing of, is in extras.
ALTER TABLE ports
    ADD COLUMN port_security boolean NOT NULL DEFAULT true,
    ADD COLUMN vnic_type     text    NOT NULL DEFAULT 'normal',
    ADD COLUMN extras        jsonb   NOT NULL DEFAULT '{}',
    ADD CONSTRAINT ports_vnic_type_length CHECK (length(vnic_type) <= 64),
    ADD CONSTRAINT ports_extras_object CHECK (jsonb_typeof(extras) = 'object');
COMMENT ON COLUMN ports.port_security IS 'Whether the spoof guard and security groups apply.';
COMMENT ON COLUMN ports.extras IS 'intent.PortExtras: address pairs, DHCP options, the free part of binding:profile, names.';
COMMENT ON COLUMN ports.host IS 'What was asked for: a datapath id as 16 hex digits, the name of a host, or empty: wherever an interface with the id of the port appears.';
CREATE INDEX switches_hostname ON switches (hostname);

ALTER TABLE security_groups ADD COLUMN stateful boolean NOT NULL DEFAULT true;

ALTER TABLE security_group_rules
    ADD COLUMN remote_address_group_id uuid,
    DROP CONSTRAINT security_group_rules_one_remote,
    ADD CONSTRAINT security_group_rules_one_remote CHECK (num_nonnulls(remote_prefix, remote_group_id, remote_address_group_id) <= 1);
DROP INDEX security_group_rules_no_duplicate;
CREATE UNIQUE INDEX security_group_rules_no_duplicate ON security_group_rules (
    group_id, direction, ethertype, coalesce(protocol, -1), coalesce(port_min, -1), coalesce(port_max, -1),
    coalesce(network(remote_prefix), '::/0'::cidr), (remote_prefix IS NULL),
    coalesce(remote_group_id, remote_address_group_id, '00000000-0000-0000-0000-000000000000'::uuid));
CREATE INDEX security_group_rules_remote_address_group ON security_group_rules (remote_address_group_id) WHERE remote_address_group_id IS NOT NULL;
