CREATE TABLE qos_policies (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    is_default  boolean     NOT NULL DEFAULT false,
    tags        text[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT qos_policies_pkey PRIMARY KEY (id),
    CONSTRAINT qos_policies_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT qos_policies_name_length CHECK (length(name) <= 255),
    CONSTRAINT qos_policies_description_length CHECK (length(description) <= 255)
);
CREATE INDEX qos_policies_tenant ON qos_policies (tenant_id);
CREATE UNIQUE INDEX qos_policies_default_key ON qos_policies (tenant_id) WHERE is_default;
COMMENT ON TABLE qos_policies IS 'Sets of rules of quality of service that networks and ports name.';
COMMENT ON COLUMN qos_policies.is_default IS 'Given to new networks of the tenant; at most one has it.';

CREATE TABLE qos_rules (
    id         uuid        NOT NULL,
    tenant_id  text        NOT NULL,
    policy_id  uuid        NOT NULL,
    kind       text        NOT NULL,
    direction  text        NOT NULL DEFAULT '',
    rate       integer     NOT NULL DEFAULT 0,
    burst      integer     NOT NULL DEFAULT 0,
    dscp       smallint    NOT NULL DEFAULT 0,
    revision   bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT qos_rules_pkey PRIMARY KEY (id),
    CONSTRAINT qos_rules_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT qos_rules_policy_fkey FOREIGN KEY (policy_id) REFERENCES qos_policies (id) ON DELETE CASCADE,
    CONSTRAINT qos_rules_kind_known CHECK (kind IN ('bandwidth_limit', 'dscp_marking', 'minimum_bandwidth', 'minimum_packet_rate', 'packet_rate_limit')),
    CONSTRAINT qos_rules_direction_known CHECK (
        CASE kind WHEN 'dscp_marking' THEN direction = '' WHEN 'minimum_packet_rate' THEN direction IN ('ingress', 'egress', 'any')
             ELSE direction IN ('ingress', 'egress') END),
    CONSTRAINT qos_rules_rate_range CHECK (rate >= 0),
    CONSTRAINT qos_rules_burst_range CHECK (burst >= 0),
    CONSTRAINT qos_rules_dscp_known CHECK (dscp IN (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56)),
    -- A packet meets at most one rule of a kind.
    CONSTRAINT qos_rules_no_conflict EXCLUDE USING gist (policy_id WITH =, kind WITH =,
        (CASE direction WHEN 'ingress' THEN '[0,0]'::int4range WHEN 'egress' THEN '[1,1]' ELSE '[0,1]' END) WITH &&)
);
CREATE INDEX qos_rules_policy ON qos_rules (policy_id);
COMMENT ON TABLE qos_rules IS 'What a policy does to packets, seen from the port.';
COMMENT ON COLUMN qos_rules.rate IS 'Limit or minimum: kbit/s, or thousands of packets a second.';
COMMENT ON COLUMN qos_rules.burst IS 'How far above the limit a burst may go, in kbit or thousands of packets.';

ALTER TABLE networks
    ADD COLUMN qos_policy_id uuid,
    ADD CONSTRAINT networks_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE NO ACTION;
CREATE INDEX networks_qos_policy ON networks (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
ALTER TABLE ports
    ADD COLUMN qos_policy_id uuid,
    ADD CONSTRAINT ports_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE NO ACTION;
CREATE INDEX ports_qos_policy ON ports (qos_policy_id) WHERE qos_policy_id IS NOT NULL;

CREATE TABLE trunks (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    tags        text[]      NOT NULL DEFAULT '{}',
    port_id     uuid        NOT NULL,
    admin_up    boolean     NOT NULL DEFAULT true,
    status      text        NOT NULL DEFAULT 'DOWN',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trunks_pkey PRIMARY KEY (id),
    CONSTRAINT trunks_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT trunks_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE RESTRICT,
    CONSTRAINT trunks_port_key UNIQUE (port_id),
    CONSTRAINT trunks_status_known CHECK (status IN ('DOWN', 'ACTIVE', 'BUILD', 'DEGRADED', 'ERROR')),
    CONSTRAINT trunks_name_length CHECK (length(name) <= 255),
    CONSTRAINT trunks_description_length CHECK (length(description) <= 255)
);
CREATE INDEX trunks_tenant ON trunks (tenant_id);
COMMENT ON TABLE trunks IS 'Ports that carry the packets of other ports, told apart by VLAN tags.';
COMMENT ON COLUMN trunks.status IS 'Realized state, written by the controller: a fact, not intent.';

CREATE TABLE trunk_subports (
    port_id         uuid    NOT NULL,
    trunk_id        uuid    NOT NULL,
    segmentation_id integer NOT NULL,
    n               bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT trunk_subports_pkey PRIMARY KEY (port_id),
    CONSTRAINT trunk_subports_port_fkey FOREIGN KEY (port_id) REFERENCES ports (id) ON DELETE RESTRICT,
    CONSTRAINT trunk_subports_trunk_fkey FOREIGN KEY (trunk_id) REFERENCES trunks (id) ON DELETE CASCADE,
    CONSTRAINT trunk_subports_segmentation_key UNIQUE (trunk_id, segmentation_id),
    CONSTRAINT trunk_subports_segmentation_range CHECK (segmentation_id BETWEEN 1 AND 4094)
);
COMMENT ON TABLE trunk_subports IS 'Ports whose packets go over a trunk, with the VLAN tag that tells them.';
COMMENT ON COLUMN trunk_subports.n IS 'Place in the list of the trunk.';

ALTER TABLE quotas
    DROP CONSTRAINT quotas_resource_known,
    ADD CONSTRAINT quotas_resource_known CHECK (resource IN ('network', 'subnet', 'port', 'router', 'floatingip', 'subnetpool', 'security_group',
        'security_group_rule', 'rbac_policy', 'trunk', 'mac_segment', 'mac_address'));
COMMENT ON TABLE quotas IS 'How much a tenant may have at most; -1: any number; no row: the default of the process.';

-- Every statement is planned when it is first needed, so a resource costs nothing to the others.
CREATE FUNCTION quotas_used(what text, whose text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF what = 'network' THEN
        RETURN (SELECT count(*) FROM networks WHERE tenant_id = whose);
    ELSIF what = 'subnet' THEN
        RETURN (SELECT count(*) FROM subnets WHERE tenant_id = whose);
    ELSIF what = 'port' THEN
        RETURN (SELECT count(*) FROM ports WHERE tenant_id = whose);
    ELSIF what = 'subnetpool' AND to_regclass('subnetpools') IS NOT NULL THEN
        RETURN (SELECT count(*) FROM subnetpools WHERE tenant_id = whose);
    ELSIF what = 'security_group' THEN
        RETURN (SELECT count(*) FROM security_groups WHERE tenant_id = whose);
    ELSIF what = 'security_group_rule' THEN
        RETURN (SELECT count(*) FROM security_group_rules WHERE tenant_id = whose);
    ELSIF what = 'rbac_policy' AND to_regclass('rbac_policies') IS NOT NULL THEN
        RETURN (SELECT count(*) FROM rbac_policies WHERE tenant_id = whose);
    ELSIF what = 'trunk' THEN
        RETURN (SELECT count(*) FROM trunks WHERE tenant_id = whose);
    ELSIF what = 'mac_segment' THEN
        RETURN (SELECT count(*) FROM mac_segments WHERE tenant_id = whose);
    ELSIF what = 'mac_address' THEN
        RETURN (SELECT coalesce(sum(active + reserved), 0) FROM mac_usage_now WHERE tenant_id = whose);
    END IF;
    RETURN 0; -- what is not there yet, such as routers
END $$;

CREATE FUNCTION quotas_check(whose text[], what text[], presets bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    q    record;
    used bigint;
    over text[] := '{}';
BEGIN
    FOR q IN
        SELECT s.tenant, s.resource, coalesce(quotas."limit", s.preset) AS most
        FROM unnest(whose, what, presets) AS s (tenant, resource, preset)
        LEFT JOIN quotas ON quotas.tenant_id = s.tenant AND quotas.resource = s.resource
        WHERE coalesce(quotas."limit", s.preset) >= 0
        ORDER BY s.tenant, s.resource
    LOOP
        -- Whoever made more of the same waits here for the end of this transaction, and counts after it.
        PERFORM pg_advisory_xact_lock(hashtextextended(q.resource || ' ' || q.tenant, 5093));
        used := quotas_used(q.resource, q.tenant);
        IF used > q.most AND q.resource <> ALL (over) THEN
            over := over || q.resource;
        END IF;
    END LOOP;
    IF cardinality(over) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'quotas_exceeded', TABLE = 'quotas',
            MESSAGE = 'a quota is exceeded', DETAIL = array_to_string(over, ' ');
    END IF;
END $$;
COMMENT ON FUNCTION quotas_check IS 'Refuses a transaction that has made more than tenants may have. It runs last: objects are counted with those of the transaction.';

CREATE TABLE metering_labels (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    shared      boolean     NOT NULL DEFAULT false,
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT metering_labels_pkey PRIMARY KEY (id),
    CONSTRAINT metering_labels_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT metering_labels_name_length CHECK (length(name) <= 255),
    CONSTRAINT metering_labels_description_length CHECK (length(description) <= 255)
);
CREATE INDEX metering_labels_tenant ON metering_labels (tenant_id);
COMMENT ON TABLE metering_labels IS 'Names under which traffic is to be counted. Records only: nothing counts yet.';

CREATE TABLE metering_label_rules (
    id            uuid        NOT NULL,
    tenant_id     text        NOT NULL,
    label_id      uuid        NOT NULL,
    direction     text        NOT NULL,
    excluded      boolean     NOT NULL DEFAULT false,
    remote_prefix cidr        NOT NULL,
    revision      bigint      NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT metering_label_rules_pkey PRIMARY KEY (id),
    CONSTRAINT metering_label_rules_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT metering_label_rules_label_fkey FOREIGN KEY (label_id) REFERENCES metering_labels (id) ON DELETE CASCADE,
    CONSTRAINT metering_label_rules_direction_known CHECK (direction IN ('ingress', 'egress')),
    CONSTRAINT metering_label_rules_no_overlap EXCLUDE USING gist
        (label_id WITH =, direction WITH =, (excluded::integer) WITH =, remote_prefix inet_ops WITH &&)
);
COMMENT ON TABLE metering_label_rules IS 'Which traffic counts under a label, or does not.';

CREATE TABLE service_profiles (
    id          uuid        NOT NULL,
    description text        NOT NULL DEFAULT '',
    driver      text        NOT NULL DEFAULT '',
    metainfo    text        NOT NULL DEFAULT '',
    enabled     boolean     NOT NULL DEFAULT true,
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_profiles_pkey PRIMARY KEY (id),
    CONSTRAINT service_profiles_description_length CHECK (length(description) <= 255)
);
COMMENT ON TABLE service_profiles IS 'How a service may be had: a driver and what to tell it. Records of the operator.';

CREATE TABLE flavors (
    id           uuid        NOT NULL,
    name         text        NOT NULL DEFAULT '',
    description  text        NOT NULL DEFAULT '',
    service_type text        NOT NULL,
    enabled      boolean     NOT NULL DEFAULT true,
    revision     bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT flavors_pkey PRIMARY KEY (id),
    CONSTRAINT flavors_name_length CHECK (length(name) <= 255),
    CONSTRAINT flavors_description_length CHECK (length(description) <= 255)
);
COMMENT ON TABLE flavors IS 'Kinds of a service that tenants may choose. Records of the operator.';

CREATE TABLE flavor_profiles (
    flavor_id  uuid NOT NULL,
    profile_id uuid NOT NULL,
    CONSTRAINT flavor_profiles_pkey PRIMARY KEY (flavor_id, profile_id),
    CONSTRAINT flavor_profiles_flavor_fkey FOREIGN KEY (flavor_id) REFERENCES flavors (id) ON DELETE CASCADE,
    CONSTRAINT flavor_profiles_profile_fkey FOREIGN KEY (profile_id) REFERENCES service_profiles (id) ON DELETE RESTRICT
);
CREATE INDEX flavor_profiles_profile ON flavor_profiles (profile_id);
COMMENT ON TABLE flavor_profiles IS 'Which profiles a flavor may be had by.';
