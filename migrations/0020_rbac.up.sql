-- Rules of address groups that are gone admit nothing.
DELETE FROM security_group_rules r WHERE remote_address_group_id IS NOT NULL AND NOT EXISTS (SELECT FROM address_groups g WHERE g.id = r.remote_address_group_id);
ALTER TABLE security_group_rules
    ADD CONSTRAINT security_group_rules_remote_address_group_fkey FOREIGN KEY (remote_address_group_id) REFERENCES address_groups (id) ON DELETE RESTRICT;

-- One column for each kind of object, so that no policy outlives its object; the other columns say the same for all of them.
CREATE TABLE rbac_policies (
    id                uuid        NOT NULL,
    tenant_id         text        NOT NULL,
    action            text        NOT NULL,
    target            text        NOT NULL,
    network_id        uuid,
    security_group_id uuid,
    address_group_id  uuid,
    address_scope_id  uuid,
    subnetpool_id     uuid,
    qos_policy_id     uuid,
    object_id         uuid        NOT NULL GENERATED ALWAYS AS (
        coalesce(network_id, security_group_id, address_group_id, address_scope_id, subnetpool_id, qos_policy_id)) STORED,
    object_type       text        NOT NULL GENERATED ALWAYS AS (
        CASE WHEN network_id IS NOT NULL THEN 'network' WHEN security_group_id IS NOT NULL THEN 'security_group'
             WHEN address_group_id IS NOT NULL THEN 'address_group' WHEN address_scope_id IS NOT NULL THEN 'address_scope'
             WHEN subnetpool_id IS NOT NULL THEN 'subnetpool' ELSE 'qos_policy' END) STORED,
    revision          bigint      NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rbac_policies_pkey PRIMARY KEY (id),
    CONSTRAINT rbac_policies_no_duplicate UNIQUE (object_id, action, target),
    CONSTRAINT rbac_policies_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT rbac_policies_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_security_group_fkey FOREIGN KEY (security_group_id) REFERENCES security_groups (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_address_group_fkey FOREIGN KEY (address_group_id) REFERENCES address_groups (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_address_scope_fkey FOREIGN KEY (address_scope_id) REFERENCES address_scopes (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_subnetpool_fkey FOREIGN KEY (subnetpool_id) REFERENCES subnetpools (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE CASCADE,
    CONSTRAINT rbac_policies_one_object CHECK (
        num_nonnulls(network_id, security_group_id, address_group_id, address_scope_id, subnetpool_id, qos_policy_id) = 1),
    CONSTRAINT rbac_policies_action_known CHECK (action = 'access_as_shared' OR (action = 'access_as_external' AND network_id IS NOT NULL)),
    CONSTRAINT rbac_policies_target_length CHECK (length(target) BETWEEN 1 AND 255)
);
CREATE INDEX rbac_policies_target ON rbac_policies (target, object_type) INCLUDE (object_id, action);
CREATE INDEX rbac_policies_tenant ON rbac_policies (tenant_id);
CREATE INDEX rbac_policies_network ON rbac_policies (network_id) WHERE network_id IS NOT NULL;
CREATE INDEX rbac_policies_security_group ON rbac_policies (security_group_id) WHERE security_group_id IS NOT NULL;
CREATE INDEX rbac_policies_address_group ON rbac_policies (address_group_id) WHERE address_group_id IS NOT NULL;
CREATE INDEX rbac_policies_address_scope ON rbac_policies (address_scope_id) WHERE address_scope_id IS NOT NULL;
CREATE INDEX rbac_policies_subnetpool ON rbac_policies (subnetpool_id) WHERE subnetpool_id IS NOT NULL;
CREATE INDEX rbac_policies_qos_policy ON rbac_policies (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
COMMENT ON TABLE rbac_policies IS 'Which tenants may see and use objects of others.';
COMMENT ON COLUMN rbac_policies.tenant_id IS 'Who made the policy; not always the owner of the object.';
COMMENT ON COLUMN rbac_policies.target IS 'A tenant, which need not be known here, or * for all.';

-- What was external before everybody sees now.
INSERT INTO rbac_policies (id, tenant_id, action, target, network_id)
SELECT gen_random_uuid(), tenant_id, 'access_as_external', '*', id FROM networks WHERE external;

ALTER TABLE networks ADD CONSTRAINT networks_owner_key UNIQUE (id, tenant_id);
ALTER TABLE ports ADD COLUMN network_owner text;
UPDATE ports SET network_owner = n.tenant_id FROM networks n WHERE n.id = ports.network_id AND n.tenant_id <> ports.tenant_id;
ALTER TABLE ports
    ADD CONSTRAINT ports_network_owner_fkey FOREIGN KEY (network_id, network_owner) REFERENCES networks (id, tenant_id) ON DELETE RESTRICT,
    ADD CONSTRAINT ports_network_owner_other CHECK (network_owner <> tenant_id);
CREATE INDEX ports_network_owner ON ports (network_owner) WHERE network_owner IS NOT NULL;
COMMENT ON COLUMN ports.network_owner IS 'Owner of the network, if it is another tenant than that of the port; he sees the port, too.';
