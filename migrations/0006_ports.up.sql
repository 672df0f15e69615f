CREATE TABLE ports (
    id             uuid        NOT NULL,
    num            integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    tenant_id      text        NOT NULL,
    network_id     uuid        NOT NULL,
    name           text        NOT NULL DEFAULT '',
    description    text        NOT NULL DEFAULT '',
    admin_up       boolean     NOT NULL DEFAULT true,
    device_id      text        NOT NULL DEFAULT '',
    device_owner   text        NOT NULL DEFAULT '',
    host           text        NOT NULL DEFAULT '',
    interface_name text        NOT NULL DEFAULT '',
    port_no        bigint      NOT NULL DEFAULT 0,
    status         text        NOT NULL DEFAULT 'DOWN',
    status_reason  text        NOT NULL DEFAULT '',
    revision       bigint      NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ports_pkey PRIMARY KEY (id),
    CONSTRAINT ports_num_key UNIQUE (num),
    CONSTRAINT ports_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ports_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE RESTRICT,
    CONSTRAINT ports_status_known CHECK (status IN ('DOWN', 'ACTIVE', 'ERROR')),
    CONSTRAINT ports_unbound_not_active CHECK (status <> 'ACTIVE' OR host <> ''),
    CONSTRAINT ports_port_no_range CHECK (port_no BETWEEN 0 AND 4294967295),
    CONSTRAINT ports_one_place CHECK (interface_name = '' OR port_no = 0),
    CONSTRAINT ports_name_length CHECK (length(name) <= 255),
    CONSTRAINT ports_description_length CHECK (length(description) <= 255),
    CONSTRAINT ports_device_id_length CHECK (length(device_id) <= 255),
    CONSTRAINT ports_device_owner_length CHECK (length(device_owner) <= 255),
    CONSTRAINT ports_host_length CHECK (length(host) <= 255),
    CONSTRAINT ports_interface_name_length CHECK (length(interface_name) <= 255)
);
CREATE INDEX ports_tenant ON ports (tenant_id);
CREATE INDEX ports_network ON ports (network_id);
CREATE INDEX ports_device ON ports (device_id) WHERE device_id <> '';
CREATE INDEX ports_host ON ports (host) WHERE host <> '';
-- A switch port carries one tenant port, however it is named.
CREATE UNIQUE INDEX ports_binding_interface_key ON ports (host, interface_name) WHERE host <> '' AND interface_name <> '';
CREATE UNIQUE INDEX ports_binding_port_no_key ON ports (host, port_no) WHERE host <> '' AND port_no <> 0;
COMMENT ON TABLE ports IS 'Connections of instances to networks. The MAC is in mac_addresses, the IPs are in fixed_ips.';
COMMENT ON COLUMN ports.num IS 'Cookie object of the flows of the port; never reused.';
COMMENT ON COLUMN ports.host IS 'Datapath id as 16 hex digits, or empty: unbound.';
COMMENT ON COLUMN ports.status IS 'Realized state, written by the controller: a fact, not intent.';

CREATE TABLE mac_addresses (
    address    bigint      NOT NULL,
    segment_id uuid,
    port_id    uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mac_addresses_pkey PRIMARY KEY (address),
    CONSTRAINT mac_addresses_port_key UNIQUE (port_id),
    CONSTRAINT mac_addresses_segment_fkey FOREIGN KEY (segment_id) REFERENCES mac_segments (id) ON DELETE RESTRICT,
    CONSTRAINT mac_addresses_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE CASCADE,
    CONSTRAINT mac_addresses_address_range CHECK (address BETWEEN 1 AND 281474976710655),
    CONSTRAINT mac_addresses_address_individual CHECK (address & 1099511627776 = 0)
);
CREATE INDEX mac_addresses_segment ON mac_addresses (segment_id);
COMMENT ON TABLE mac_addresses IS 'Every MAC address in use, given or allocated: none twice, in all networks of all tenants.';
COMMENT ON COLUMN mac_addresses.address IS 'The 48 bits as a number.';
COMMENT ON COLUMN mac_addresses.segment_id IS 'Segment that gave the address; NULL for one given by a client outside of every giving segment.';

CREATE TABLE fixed_ips (
    subnet_id uuid     NOT NULL,
    address   inet     NOT NULL,
    port_id   uuid     NOT NULL,
    ord       smallint NOT NULL,
    CONSTRAINT fixed_ips_pkey PRIMARY KEY (subnet_id, address),
    CONSTRAINT fixed_ips_subnet_fkey FOREIGN KEY (subnet_id) REFERENCES subnets (id) ON DELETE RESTRICT,
    CONSTRAINT fixed_ips_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE CASCADE,
    CONSTRAINT fixed_ips_address_is_host CHECK (masklen(address) = CASE family(address) WHEN 4 THEN 32 ELSE 128 END)
);
CREATE INDEX fixed_ips_port ON fixed_ips (port_id);
CREATE INDEX fixed_ips_address ON fixed_ips (address);
COMMENT ON TABLE fixed_ips IS 'Addresses of ports; none twice in a subnet.';
COMMENT ON COLUMN fixed_ips.ord IS 'Place in the list of the port.';

CREATE TABLE port_security_groups (
    port_id  uuid NOT NULL,
    group_id uuid NOT NULL,
    CONSTRAINT port_security_groups_pkey PRIMARY KEY (port_id, group_id),
    CONSTRAINT port_security_groups_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE CASCADE,
    CONSTRAINT port_security_groups_group_fkey FOREIGN KEY (group_id) REFERENCES security_groups (id) ON DELETE RESTRICT
);
CREATE INDEX port_security_groups_group ON port_security_groups (group_id);
COMMENT ON TABLE port_security_groups IS 'Which groups a port subscribes to.';
