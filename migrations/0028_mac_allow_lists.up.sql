CREATE TABLE mac_allow_lists (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    network_id  uuid        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    tags        text[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mac_allow_lists_pkey PRIMARY KEY (id),
    CONSTRAINT mac_allow_lists_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT mac_allow_lists_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE RESTRICT,
    CONSTRAINT mac_allow_lists_name_length CHECK (length(name) <= 255),
    CONSTRAINT mac_allow_lists_description_length CHECK (length(description) <= 255)
);
CREATE INDEX mac_allow_lists_tenant ON mac_allow_lists (tenant_id, id);
CREATE INDEX mac_allow_lists_network ON mac_allow_lists (network_id);
CREATE INDEX mac_allow_lists_tags ON mac_allow_lists USING gin (tags) WHERE tags <> '{}';
COMMENT ON TABLE mac_allow_lists IS 'Which MAC addresses may attach to a network: what is in one of its lists; any, if it has none.';

CREATE TABLE mac_allow_list_entries (
    list_id        uuid      NOT NULL,
    n              integer   NOT NULL,
    block          int8range,
    mac_segment_id uuid,
    CONSTRAINT mac_allow_list_entries_pkey PRIMARY KEY (list_id, n),
    CONSTRAINT mac_allow_list_entries_list_fkey FOREIGN KEY (list_id) REFERENCES mac_allow_lists (id) ON DELETE CASCADE,
    CONSTRAINT mac_allow_list_entries_segment_fkey FOREIGN KEY (mac_segment_id) REFERENCES mac_segments (id) ON DELETE RESTRICT,
    CONSTRAINT mac_allow_list_entries_one_of CHECK (num_nonnulls(block, mac_segment_id) = 1),
    CONSTRAINT mac_allow_list_entries_block_range CHECK (
        lower_inc(block) AND NOT upper_inc(block) AND lower(block) >= 0 AND upper(block) <= 281474976710656),
    CONSTRAINT mac_allow_list_entries_block_power_of_two CHECK (
        (upper(block) - lower(block)) & (upper(block) - lower(block) - 1) = 0 AND upper(block) - lower(block) <= 1099511627776),
    CONSTRAINT mac_allow_list_entries_block_aligned CHECK (lower(block) & (upper(block) - lower(block) - 1) = 0),
    CONSTRAINT mac_allow_list_entries_block_individual CHECK (lower(block) & 1099511627776 = 0)
);
CREATE INDEX mac_allow_list_entries_segment ON mac_allow_list_entries (mac_segment_id) WHERE mac_segment_id IS NOT NULL;
COMMENT ON TABLE mac_allow_list_entries IS 'What the lists have: an address or a prefix, or whatever a segment has.';
COMMENT ON COLUMN mac_allow_list_entries.n IS 'Place in the list.';

-- Whoever makes a port reads the row of its network anyway, and holds it.
ALTER TABLE networks ADD COLUMN mac_listed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN networks.mac_listed IS 'Whether it has MAC allow lists; kept by a trigger of these.';
CREATE FUNCTION mac_allow_lists_mark_network() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE networks SET mac_listed = EXISTS (SELECT FROM mac_allow_lists l WHERE l.network_id = networks.id)
    WHERE id = coalesce(NEW.network_id, OLD.network_id);
    RETURN NULL;
END $$;
CREATE TRIGGER mac_allow_lists_mark_network AFTER INSERT OR DELETE ON mac_allow_lists
    FOR EACH ROW EXECUTE FUNCTION mac_allow_lists_mark_network();

ALTER TABLE quotas
    DROP CONSTRAINT quotas_resource_known,
    ADD CONSTRAINT quotas_resource_known CHECK (resource IN ('network', 'subnet', 'port', 'router', 'floatingip', 'subnetpool', 'security_group',
        'security_group_rule', 'rbac_policy', 'trunk', 'mac_segment', 'mac_address', 'mac_allow_list'));

-- What the older resources use is counted as before.
ALTER FUNCTION quotas_used(text, text) RENAME TO quotas_used_before_0028;
CREATE FUNCTION quotas_used(what text, whose text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF what = 'mac_allow_list' THEN
        RETURN (SELECT count(*) FROM mac_allow_lists WHERE tenant_id = whose);
    END IF;
    RETURN quotas_used_before_0028(what, whose);
END $$;
