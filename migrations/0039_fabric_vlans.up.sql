CREATE TABLE fabric_vlans (
    network_id uuid,
    vlan       smallint,
    since      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fabric_vlans_network_key UNIQUE (network_id),
    CONSTRAINT fabric_vlans_vlan_key UNIQUE (vlan),
    CONSTRAINT fabric_vlans_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE CASCADE,
    CONSTRAINT fabric_vlans_range CHECK (vlan BETWEEN 1 AND 4094),
    CONSTRAINT fabric_vlans_about CHECK (num_nonnulls(network_id, vlan) > 0)
);
COMMENT ON TABLE fabric_vlans IS 'VLAN tags of networks on the links of fabrics. Without a tag: none was left for the network. Without a network: the tag rests since.';
