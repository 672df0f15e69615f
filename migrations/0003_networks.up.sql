CREATE TABLE networks (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    vni         integer     NOT NULL,
    mtu         integer     NOT NULL DEFAULT 1450,
    admin_up    boolean     NOT NULL DEFAULT true,
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT networks_pkey PRIMARY KEY (id),
    CONSTRAINT networks_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT networks_vni_key UNIQUE (vni),
    CONSTRAINT networks_vni_range CHECK (vni BETWEEN 1 AND 16777215),
    CONSTRAINT networks_mtu_range CHECK (mtu BETWEEN 68 AND 65535),
    CONSTRAINT networks_name_length CHECK (length(name) <= 255),
    CONSTRAINT networks_description_length CHECK (length(description) <= 255)
);
CREATE INDEX networks_tenant ON networks (tenant_id);
COMMENT ON TABLE networks IS 'Layer-2 broadcast domains. The VNI is the metadata of their packets in the pipeline.';

CREATE TABLE subnets (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    network_id  uuid        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    cidr        cidr        NOT NULL,
    gateway     inet,
    enable_dhcp boolean     NOT NULL DEFAULT true,
    nameservers inet[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subnets_pkey PRIMARY KEY (id),
    CONSTRAINT subnets_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT subnets_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE RESTRICT,
    CONSTRAINT subnets_no_overlap EXCLUDE USING gist (network_id WITH =, cidr inet_ops WITH &&),
    CONSTRAINT subnets_gateway_family CHECK (gateway IS NULL OR (family(gateway) = family(cidr) AND masklen(gateway) = CASE family(cidr) WHEN 4 THEN 32 ELSE 128 END)),
    CONSTRAINT subnets_name_length CHECK (length(name) <= 255),
    CONSTRAINT subnets_description_length CHECK (length(description) <= 255)
);
CREATE INDEX subnets_tenant ON subnets (tenant_id);
CREATE INDEX subnets_network ON subnets (network_id);
COMMENT ON TABLE subnets IS 'IP prefixes of networks. Those of one network never overlap.';

CREATE TYPE inetrange AS RANGE (SUBTYPE = inet);

CREATE TABLE subnet_pools (
    subnet_id uuid NOT NULL,
    first     inet NOT NULL,
    last      inet NOT NULL,
    CONSTRAINT subnet_pools_pkey PRIMARY KEY (subnet_id, first),
    CONSTRAINT subnet_pools_subnet_fkey FOREIGN KEY (subnet_id) REFERENCES subnets (id) ON DELETE CASCADE,
    CONSTRAINT subnet_pools_order CHECK (family(first) = family(last) AND first <= last),
    CONSTRAINT subnet_pools_no_overlap EXCLUDE USING gist (subnet_id WITH =, inetrange(first, last, '[]') WITH &&)
);
COMMENT ON TABLE subnet_pools IS 'Inclusive ranges of a subnet that automatic addresses come from.';
