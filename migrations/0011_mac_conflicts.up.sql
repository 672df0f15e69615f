CREATE TABLE mac_imports (
    source      text        NOT NULL,
    external_id text        NOT NULL,
    address     bigint      NOT NULL,
    tenant_id   text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    imported_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mac_imports_pkey PRIMARY KEY (source, external_id),
    CONSTRAINT mac_imports_source_length CHECK (length(source) BETWEEN 1 AND 255),
    CONSTRAINT mac_imports_external_id_length CHECK (length(external_id) BETWEEN 1 AND 255),
    CONSTRAINT mac_imports_description_length CHECK (length(description) <= 255),
    CONSTRAINT mac_imports_address_range CHECK (address BETWEEN 1 AND 281474976710655)
);
CREATE INDEX mac_imports_address ON mac_imports (address);
COMMENT ON TABLE mac_imports IS 'What foreign systems call their machines, and the MAC addresses of these.';

CREATE TABLE mac_conflicts (
    id          uuid        NOT NULL,
    address     bigint      NOT NULL,
    kind        text        NOT NULL,
    policy      text        NOT NULL,
    status      text        NOT NULL DEFAULT 'open',
    resolution  text        NOT NULL DEFAULT '',
    tenant_id   text        NOT NULL,
    segment_id  uuid,
    port_id     uuid,
    device_id   text        NOT NULL DEFAULT '',
    state       text        NOT NULL,
    source      text        NOT NULL DEFAULT '',
    external_id text        NOT NULL DEFAULT '',
    datapath    text        NOT NULL DEFAULT '',
    switch_port bigint      NOT NULL DEFAULT 0,
    interface   text        NOT NULL DEFAULT '',
    reassigned  bigint,
    due_at      timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    times       bigint      NOT NULL DEFAULT 1,
    resolved_at timestamptz,
    CONSTRAINT mac_conflicts_pkey PRIMARY KEY (id),
    CONSTRAINT mac_conflicts_kind_known CHECK (kind IN ('seen', 'import')),
    CONSTRAINT mac_conflicts_policy_known CHECK (policy IN ('report', 'refuse', 'reassign')),
    CONSTRAINT mac_conflicts_status_known CHECK (status IN ('open', 'resolved')),
    CONSTRAINT mac_conflicts_resolved CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT mac_conflicts_resolution_length CHECK (length(resolution) <= 255),
    CONSTRAINT mac_conflicts_due_reassign CHECK (due_at IS NULL OR policy = 'reassign')
);
-- One open conflict for the same two parties, however often they are seen.
CREATE UNIQUE INDEX mac_conflicts_open_key ON mac_conflicts (address, kind, source, external_id, datapath, switch_port, interface) WHERE status = 'open';
CREATE INDEX mac_conflicts_tenant ON mac_conflicts (tenant_id);
CREATE INDEX mac_conflicts_due ON mac_conflicts (due_at) WHERE status = 'open' AND due_at IS NOT NULL;
COMMENT ON TABLE mac_conflicts IS 'Addresses that two parties have: the managed one (tenant, segment, port, device, state) and the other, which was seen at a port of a switch or imported.';
