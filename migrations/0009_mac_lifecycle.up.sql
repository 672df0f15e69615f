ALTER TABLE mac_segments
    ADD COLUMN host                   text    NOT NULL DEFAULT '',
    ADD COLUMN strategy               text    NOT NULL DEFAULT 'scrambled',
    ADD COLUMN scramble_key           uuid    NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN quarantine_seconds     integer NOT NULL DEFAULT 600,
    ADD COLUMN conflict_policy        text    NOT NULL DEFAULT 'report',
    ADD COLUMN conflict_delay_seconds integer NOT NULL DEFAULT 600,
    ADD COLUMN fresh                  bigint  NOT NULL DEFAULT 0,
    ADD CONSTRAINT mac_segments_host_length CHECK (length(host) <= 255),
    ADD CONSTRAINT mac_segments_strategy_known CHECK (strategy IN ('sequential', 'scrambled', 'instance-hash')),
    ADD CONSTRAINT mac_segments_quarantine_seconds_range CHECK (quarantine_seconds BETWEEN 0 AND 31536000),
    ADD CONSTRAINT mac_segments_conflict_policy_known CHECK (conflict_policy IN ('report', 'refuse', 'reassign')),
    ADD CONSTRAINT mac_segments_conflict_delay_seconds_range CHECK (conflict_delay_seconds BETWEEN 0 AND 31536000);
CREATE INDEX mac_segments_host ON mac_segments (host) WHERE host <> '';
COMMENT ON COLUMN mac_segments.host IS 'Empty unless the segment serves the ports bound to one host only.';
COMMENT ON COLUMN mac_segments.scramble_key IS 'Key of the scrambled order; shown to nobody.';
COMMENT ON COLUMN mac_segments.fresh IS 'Index, in the order of the strategy, of the first address that was never leased.';

-- A row for every address that is not free, and for those that were given once
-- and wait in the line of the least recently used.
ALTER TABLE mac_addresses
    DROP CONSTRAINT mac_addresses_port_key,
    DROP CONSTRAINT mac_addresses_port_fkey,
    DROP CONSTRAINT mac_addresses_segment_fkey,
    ALTER COLUMN port_id DROP NOT NULL,
    ADD COLUMN tenant_id  text,
    ADD COLUMN state      text        NOT NULL DEFAULT 'active',
    ADD COLUMN origin     text        NOT NULL DEFAULT 'port',
    ADD COLUMN network_id uuid,
    ADD COLUMN device_id  text        NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN free_at    timestamptz,
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
UPDATE mac_addresses SET tenant_id = ports.tenant_id, network_id = ports.network_id, device_id = ports.device_id FROM ports WHERE ports.id = port_id;
ALTER TABLE mac_addresses
    ALTER COLUMN tenant_id SET NOT NULL,
    ALTER COLUMN origin DROP DEFAULT,
    ADD CONSTRAINT mac_addresses_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE SET NULL,
    ADD CONSTRAINT mac_addresses_state_known CHECK (state IN ('active', 'reserved', 'quarantined', 'free')),
    ADD CONSTRAINT mac_addresses_origin_known CHECK (origin IN ('port', 'tenant', 'import')),
    ADD CONSTRAINT mac_addresses_port_active CHECK (port_id IS NULL OR state = 'active'),
    ADD CONSTRAINT mac_addresses_expires_reserved CHECK (expires_at IS NULL OR state = 'reserved'),
    ADD CONSTRAINT mac_addresses_free_at_released CHECK ((free_at IS NOT NULL) = (state IN ('quarantined', 'free'))),
    ADD CONSTRAINT mac_addresses_device_id_length CHECK (length(device_id) <= 255);
DROP INDEX mac_addresses_segment;
CREATE UNIQUE INDEX mac_addresses_port_key ON mac_addresses (port_id) WHERE port_id IS NOT NULL;
CREATE INDEX mac_addresses_tenant ON mac_addresses (tenant_id, address);
CREATE INDEX mac_addresses_device ON mac_addresses (device_id) WHERE device_id <> '';
CREATE INDEX mac_addresses_released ON mac_addresses (segment_id, free_at) WHERE state IN ('quarantined', 'free');
CREATE INDEX mac_addresses_cooling ON mac_addresses (free_at) WHERE state = 'quarantined';
CREATE INDEX mac_addresses_forgettable ON mac_addresses (free_at) WHERE state = 'free';
CREATE INDEX mac_addresses_expiring ON mac_addresses (expires_at) WHERE state = 'reserved' AND expires_at IS NOT NULL;
CREATE INDEX mac_addresses_ownerless ON mac_addresses (address) WHERE state = 'active' AND origin = 'port' AND port_id IS NULL;
COMMENT ON TABLE mac_addresses IS 'Every MAC address that is in use, reserved, resting or lately released: none twice, in all networks of all tenants.';
COMMENT ON COLUMN mac_addresses.segment_id IS 'Segment that gives the address; NULL for one outside of every giving segment. No foreign key, which would cost every row of a bulk a look at the same segment: a trigger keeps segments that have addresses.';
COMMENT ON COLUMN mac_addresses.tenant_id IS 'Who has the address; of a released one, who had it last.';
COMMENT ON COLUMN mac_addresses.state IS 'reserved, active, quarantined (released, and nobody may have it before free_at) or free (kept for the order of reuse).';
COMMENT ON COLUMN mac_addresses.origin IS 'What an active address hangs on: a port, a tenant that asked for it, or a foreign system that it was imported from.';
COMMENT ON COLUMN mac_addresses.network_id IS 'Network that a reservation is for, or NULL: any.';
COMMENT ON COLUMN mac_addresses.device_id IS 'Instance that has the address or that it is reserved for.';

CREATE FUNCTION mac_segments_keep_used() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM mac_addresses WHERE address >= lower(OLD.block) AND address < upper(OLD.block) AND segment_id = OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', TABLE = 'mac_addresses', CONSTRAINT = 'mac_addresses_segment_fkey',
            MESSAGE = 'the MAC segment has addresses', DETAIL = format('Key (id)=(%s) is still referenced from table "mac_addresses".', OLD.id);
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER mac_segments_keep_used BEFORE DELETE ON mac_segments FOR EACH ROW EXECUTE FUNCTION mac_segments_keep_used();

CREATE SEQUENCE mac_fences;
CREATE TABLE mac_leases (
    segment_id uuid        NOT NULL,
    first      bigint      NOT NULL,
    last       bigint      NOT NULL,
    fence      bigint      NOT NULL DEFAULT nextval('mac_fences'),
    holder     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT mac_leases_pkey PRIMARY KEY (fence),
    CONSTRAINT mac_leases_segment_fkey FOREIGN KEY (segment_id) REFERENCES mac_segments (id) ON DELETE CASCADE,
    CONSTRAINT mac_leases_no_overlap EXCLUDE USING gist (segment_id WITH =, int8range(first, last, '[]') WITH &&),
    CONSTRAINT mac_leases_order CHECK (0 <= first AND first <= last)
);
CREATE INDEX mac_leases_segment ON mac_leases (segment_id, first);
COMMENT ON TABLE mac_leases IS 'Parts of segments that one controller process gives addresses of, from memory. One that has run out of time is anybody''s.';
COMMENT ON COLUMN mac_leases.first IS 'First and last index in the order of the strategy of the segment.';
COMMENT ON COLUMN mac_leases.fence IS 'Rises with every holder; an address is only assigned under the fence that its lease still has.';

-- Counters. Writers only add rows to the changes, so none waits for another.
CREATE TABLE mac_usage (
    segment_id  uuid   NOT NULL,
    tenant_id   text   NOT NULL,
    active      bigint NOT NULL,
    reserved    bigint NOT NULL,
    quarantined bigint NOT NULL,
    CONSTRAINT mac_usage_pkey PRIMARY KEY (segment_id, tenant_id)
);
CREATE INDEX mac_usage_tenant ON mac_usage (tenant_id);
CREATE TABLE mac_usage_changes (
    id          bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    segment_id  uuid    NOT NULL,
    tenant_id   text    NOT NULL,
    active      integer NOT NULL,
    reserved    integer NOT NULL,
    quarantined integer NOT NULL,
    CONSTRAINT mac_usage_changes_pkey PRIMARY KEY (id)
);
CREATE INDEX mac_usage_changes_segment ON mac_usage_changes (segment_id);
CREATE INDEX mac_usage_changes_tenant ON mac_usage_changes (tenant_id);
CREATE VIEW mac_usage_now AS
    SELECT segment_id, tenant_id, sum(active)::bigint AS active, sum(reserved)::bigint AS reserved, sum(quarantined)::bigint AS quarantined
    FROM (SELECT segment_id, tenant_id, active, reserved, quarantined FROM mac_usage
          UNION ALL
          SELECT segment_id, tenant_id, active, reserved, quarantined FROM mac_usage_changes) AS all_of_them
    GROUP BY segment_id, tenant_id;
INSERT INTO mac_usage (segment_id, tenant_id, active, reserved, quarantined)
    SELECT coalesce(segment_id, '00000000-0000-0000-0000-000000000000'), tenant_id, count(*), 0, 0 FROM mac_addresses GROUP BY 1, 2;
COMMENT ON TABLE mac_usage IS 'How many addresses of a segment a tenant has, by state, up to the changes that are not folded in yet. The segment of addresses outside of every one is all zeros.';
COMMENT ON TABLE mac_usage_changes IS 'What the transactions since the last folding added and took away.';

CREATE TABLE quotas (
    tenant_id text   NOT NULL,
    resource  text   NOT NULL,
    "limit"   bigint NOT NULL,
    CONSTRAINT quotas_pkey PRIMARY KEY (tenant_id, resource),
    CONSTRAINT quotas_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT quotas_resource_known CHECK (resource IN ('mac_segment', 'mac_address')),
    CONSTRAINT quotas_limit_range CHECK ("limit" >= -1)
);
COMMENT ON TABLE quotas IS 'How much a tenant may have at most; -1 or no row: as much as there is. Whoever makes something that is limited holds the row until its commit.';
