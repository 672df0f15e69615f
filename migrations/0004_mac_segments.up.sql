CREATE TABLE mac_segments (
    id          uuid        NOT NULL,
    tenant_id   text,
    parent_id   uuid,
    network_id  uuid,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    block       int8range   NOT NULL,
    shared      boolean     NOT NULL DEFAULT false,
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mac_segments_pkey PRIMARY KEY (id),
    CONSTRAINT mac_segments_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT mac_segments_parent_fkey FOREIGN KEY (parent_id) REFERENCES mac_segments (id) ON DELETE RESTRICT,
    CONSTRAINT mac_segments_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE RESTRICT,
    CONSTRAINT mac_segments_no_overlap EXCLUDE USING gist (parent_id WITH =, block WITH &&),
    CONSTRAINT mac_segments_roots_no_overlap EXCLUDE USING gist (block WITH &&) WHERE (parent_id IS NULL),
    CONSTRAINT mac_segments_parent_other CHECK (parent_id <> id),
    CONSTRAINT mac_segments_block_range CHECK (
        lower_inc(block) AND NOT upper_inc(block) AND lower(block) >= 0 AND upper(block) <= 281474976710656),
    CONSTRAINT mac_segments_block_power_of_two CHECK (
        (upper(block) - lower(block)) & (upper(block) - lower(block) - 1) = 0 AND upper(block) - lower(block) <= 1099511627776),
    CONSTRAINT mac_segments_block_aligned CHECK (lower(block) & (upper(block) - lower(block) - 1) = 0),
    CONSTRAINT mac_segments_block_individual CHECK (lower(block) & 1099511627776 = 0),
    CONSTRAINT mac_segments_shared_by_operator CHECK (NOT shared OR tenant_id IS NULL),
    CONSTRAINT mac_segments_name_length CHECK (length(name) <= 255),
    CONSTRAINT mac_segments_description_length CHECK (length(description) <= 255)
);
CREATE INDEX mac_segments_tenant ON mac_segments (tenant_id);
CREATE INDEX mac_segments_parent ON mac_segments (parent_id);
CREATE INDEX mac_segments_network ON mac_segments (network_id);
CREATE INDEX mac_segments_shared ON mac_segments (id) WHERE shared;
CREATE INDEX mac_segments_block ON mac_segments USING gist (block);
COMMENT ON TABLE mac_segments IS 'Aligned power-of-two blocks of MAC addresses, nested; only a segment without children gives addresses.';
COMMENT ON COLUMN mac_segments.tenant_id IS 'NULL: a segment of the operator.';
COMMENT ON COLUMN mac_segments.parent_id IS 'The smallest segment that holds this one; NULL: a root.';
COMMENT ON COLUMN mac_segments.network_id IS 'NULL unless the segment serves one network only.';
COMMENT ON COLUMN mac_segments.block IS 'The addresses as 48-bit numbers.';

-- Fixed ids, so that every installation names them alike.
INSERT INTO mac_segments (id, parent_id, name, description, block, shared) VALUES
    ('02000000-0000-4000-8000-000000000008', NULL, 'locally administered',
     'Root of the locally administered addresses under 02', int8range(2199023255552, 3298534883328), false),
    ('02ff0000-0000-4000-8000-000000000010', '02000000-0000-4000-8000-000000000008', 'default',
     'Serves every tenant that has no segment of its own', int8range(3294239916032, 3298534883328), true);
