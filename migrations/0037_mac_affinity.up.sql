CREATE TABLE affinity_pools (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    num         integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    network_id  uuid        NOT NULL,
    vip_port_id uuid        NOT NULL,
    vip_made    boolean     NOT NULL DEFAULT false,
    protocol    text        NOT NULL,
    port        integer     NOT NULL,
    affinity    text        NOT NULL DEFAULT 'source_mac',
    timeout     integer     NOT NULL DEFAULT 300,
    admin_up    boolean     NOT NULL DEFAULT true,
    slots       integer[]   NOT NULL DEFAULT '{}',
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    tags        text[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT affinity_pools_pkey PRIMARY KEY (id),
    CONSTRAINT affinity_pools_num_key UNIQUE (num),
    CONSTRAINT affinity_pools_vip_key UNIQUE (vip_port_id, protocol, port),
    CONSTRAINT affinity_pools_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT affinity_pools_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE RESTRICT,
    CONSTRAINT affinity_pools_vip_port_fkey FOREIGN KEY (vip_port_id) REFERENCES ports (id) ON DELETE RESTRICT,
    CONSTRAINT affinity_pools_protocol_known CHECK (protocol IN ('tcp', 'udp')),
    CONSTRAINT affinity_pools_port_range CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT affinity_pools_affinity_known CHECK (affinity IN ('source_mac', 'source_ip', 'source_mac_ip', 'none')),
    CONSTRAINT affinity_pools_timeout_range CHECK (timeout BETWEEN 1 AND 65535),
    CONSTRAINT affinity_pools_slots_all CHECK (cardinality(slots) IN (0, 128)),
    CONSTRAINT affinity_pools_name_length CHECK (length(name) <= 255),
    CONSTRAINT affinity_pools_description_length CHECK (length(description) <= 255)
);
CREATE INDEX affinity_pools_tenant ON affinity_pools (tenant_id, id);
CREATE INDEX affinity_pools_network ON affinity_pools (network_id);
CREATE INDEX affinity_pools_tags ON affinity_pools USING gin (tags) WHERE tags <> '{}';
COMMENT ON TABLE affinity_pools IS 'Virtual addresses and ports whose clients are spread over backends.';
COMMENT ON COLUMN affinity_pools.num IS 'Cookie object of the flows of the pool; never reused.';
COMMENT ON COLUMN affinity_pools.vip_port_id IS 'Port that has the virtual address: so nobody else gets it, nor its MAC.';
COMMENT ON COLUMN affinity_pools.vip_made IS 'Whether that port was made for pools, and goes with the last of them.';
COMMENT ON COLUMN affinity_pools.slots IS 'Whose the slots are, in numbers of backends; 0: nobody''s. Clients move when these do, so they are kept.';

CREATE TABLE affinity_backends (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    num         integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    pool_id     uuid        NOT NULL,
    port_id     uuid,
    address     inet,
    port        integer     NOT NULL,
    weight      integer     NOT NULL DEFAULT 1,
    state       text        NOT NULL DEFAULT 'up',
    health      text        NOT NULL DEFAULT 'unknown',
    diagnosis   text        NOT NULL DEFAULT '',
    name        text        NOT NULL DEFAULT '',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT affinity_backends_pkey PRIMARY KEY (id),
    CONSTRAINT affinity_backends_num_key UNIQUE (num),
    CONSTRAINT affinity_backends_port_key UNIQUE (pool_id, port_id, port),
    CONSTRAINT affinity_backends_address_key UNIQUE (pool_id, address, port),
    CONSTRAINT affinity_backends_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT affinity_backends_pool_fkey FOREIGN KEY (pool_id) REFERENCES affinity_pools (id) ON DELETE CASCADE,
    CONSTRAINT affinity_backends_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE RESTRICT,
    CONSTRAINT affinity_backends_one_of CHECK (num_nonnulls(port_id, address) = 1),
    CONSTRAINT affinity_backends_address_v4 CHECK (family(address) = 4 AND masklen(address) = 32),
    CONSTRAINT affinity_backends_port_range CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT affinity_backends_weight_range CHECK (weight BETWEEN 0 AND 256),
    CONSTRAINT affinity_backends_state_known CHECK (state IN ('up', 'drain', 'down')),
    CONSTRAINT affinity_backends_health_known CHECK (health IN ('unknown', 'up', 'down')),
    CONSTRAINT affinity_backends_name_length CHECK (length(name) <= 255),
    CONSTRAINT affinity_backends_diagnosis_length CHECK (length(diagnosis) <= 255)
);
CREATE INDEX affinity_backends_tenant ON affinity_backends (tenant_id, id);
CREATE INDEX affinity_backends_of_port ON affinity_backends (port_id) WHERE port_id IS NOT NULL;
COMMENT ON TABLE affinity_backends IS 'What serves the clients of the pools: a port, or whichever port of the network has an address.';
COMMENT ON COLUMN affinity_backends.num IS 'Number by which slots and pins name the backend; never reused.';
COMMENT ON COLUMN affinity_backends.health IS 'What a checker has said last: it tells us, and is not asked.';

ALTER TABLE switches ADD COLUMN pools jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN switches.pools IS 'What has become of affinity pools there, by number: the revision that the flows reflect, the backends that live, and what is missing.';
