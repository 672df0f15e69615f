CREATE TABLE security_groups (
    id          uuid        NOT NULL,
    num         integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT security_groups_pkey PRIMARY KEY (id),
    CONSTRAINT security_groups_num_key UNIQUE (num),
    CONSTRAINT security_groups_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT security_groups_name_length CHECK (length(name) <= 255),
    CONSTRAINT security_groups_description_length CHECK (length(description) <= 255)
);
CREATE INDEX security_groups_tenant ON security_groups (tenant_id);
CREATE UNIQUE INDEX security_groups_default_key ON security_groups (tenant_id) WHERE name = 'default';
COMMENT ON TABLE security_groups IS 'Sets of rules that ports subscribe to. Every tenant has one called default from first need.';
COMMENT ON COLUMN security_groups.num IS 'Small number for the data plane; never reused.';

CREATE TABLE security_group_rules (
    id               uuid        NOT NULL,
    num              integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    tenant_id        text        NOT NULL,
    group_id         uuid        NOT NULL,
    description      text        NOT NULL DEFAULT '',
    direction        text        NOT NULL,
    ethertype        text        NOT NULL,
    protocol         smallint,
    protocol_name    text        NOT NULL DEFAULT '',
    port_min         integer,
    port_max         integer,
    remote_prefix    inet,
    remote_group_id  uuid,
    revision         bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT security_group_rules_pkey PRIMARY KEY (id),
    CONSTRAINT security_group_rules_num_key UNIQUE (num),
    CONSTRAINT security_group_rules_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT security_group_rules_group_fkey FOREIGN KEY (group_id) REFERENCES security_groups (id) ON DELETE CASCADE,
    CONSTRAINT security_group_rules_remote_group_fkey FOREIGN KEY (remote_group_id) REFERENCES security_groups (id) ON DELETE NO ACTION,
    CONSTRAINT security_group_rules_direction_known CHECK (direction IN ('ingress', 'egress')),
    CONSTRAINT security_group_rules_ethertype_known CHECK (ethertype IN ('IPv4', 'IPv6')),
    CONSTRAINT security_group_rules_protocol_range CHECK (protocol BETWEEN 0 AND 255),
    CONSTRAINT security_group_rules_ports_range CHECK (port_min BETWEEN 0 AND 65535 AND port_max BETWEEN 0 AND 65535),
    CONSTRAINT security_group_rules_ports_protocol CHECK (protocol IS NOT NULL OR (port_min IS NULL AND port_max IS NULL)),
    CONSTRAINT security_group_rules_ports_order CHECK (protocol IN (1, 58) OR port_min <= port_max),
    CONSTRAINT security_group_rules_ports_both CHECK (
        CASE WHEN protocol IN (1, 58) THEN port_min IS NOT NULL OR port_max IS NULL
             ELSE (port_min IS NULL) = (port_max IS NULL) END),
    CONSTRAINT security_group_rules_icmp_range CHECK (protocol NOT IN (1, 58) OR (port_min <= 255 AND port_max <= 255)),
    CONSTRAINT security_group_rules_one_remote CHECK (remote_prefix IS NULL OR remote_group_id IS NULL),
    CONSTRAINT security_group_rules_remote_family CHECK (
        remote_prefix IS NULL OR family(remote_prefix) = CASE ethertype WHEN 'IPv4' THEN 4 ELSE 6 END),
    CONSTRAINT security_group_rules_description_length CHECK (length(description) <= 255)
);
-- What two equal rules have in common. The prefix counts by its network, as it does for packets.
CREATE UNIQUE INDEX security_group_rules_no_duplicate ON security_group_rules (
    group_id, direction, ethertype, coalesce(protocol, -1), coalesce(port_min, -1), coalesce(port_max, -1),
    coalesce(network(remote_prefix), '::/0'::cidr), (remote_prefix IS NULL),
    coalesce(remote_group_id, '00000000-0000-0000-0000-000000000000'::uuid));
CREATE INDEX security_group_rules_tenant ON security_group_rules (tenant_id);
CREATE INDEX security_group_rules_remote_group ON security_group_rules (remote_group_id) WHERE remote_group_id IS NOT NULL;
COMMENT ON TABLE security_group_rules IS 'What a group allows; anything else is dropped.';
COMMENT ON COLUMN security_group_rules.num IS 'The ct_mark of connections that the rule admits; never 0, never reused.';
COMMENT ON COLUMN security_group_rules.remote_prefix IS 'As the client gave it, host bits kept.';
