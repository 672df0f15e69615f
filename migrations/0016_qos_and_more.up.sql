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
    ADD COLUMN IF NOT EXISTS qos_policy_id uuid,
    ADD CONSTRAINT networks_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE NO ACTION;
CREATE INDEX IF NOT EXISTS networks_qos_policy ON networks (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
ALTER TABLE ports
    ADD COLUMN IF NOT EXISTS qos_policy_id uuid,
    ADD CONSTRAINT ports_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE NO ACTION;
CREATE INDEX IF NOT EXISTS ports_qos_policy ON ports (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
