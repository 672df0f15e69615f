CREATE TABLE address_groups (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    tags        text[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT address_groups_pkey PRIMARY KEY (id),
    CONSTRAINT address_groups_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT address_groups_name_length CHECK (length(name) <= 255),
    CONSTRAINT address_groups_description_length CHECK (length(description) <= 255)
);
CREATE INDEX address_groups_tenant ON address_groups (tenant_id);
COMMENT ON TABLE address_groups IS 'Named sets of prefixes that security group rules refer to.';

CREATE TABLE address_group_addresses (
    group_id uuid NOT NULL,
    address  cidr NOT NULL,
    CONSTRAINT address_group_addresses_pkey PRIMARY KEY (group_id, address),
    CONSTRAINT address_group_addresses_group_fkey FOREIGN KEY (group_id) REFERENCES address_groups (id) ON DELETE CASCADE
);
COMMENT ON TABLE address_group_addresses IS 'The prefixes of address groups.';

CREATE TABLE address_scopes (
    id          uuid        NOT NULL,
    tenant_id   text        NOT NULL,
    name        text        NOT NULL DEFAULT '',
    description text        NOT NULL DEFAULT '',
    ip_version  smallint    NOT NULL,
    tags        text[]      NOT NULL DEFAULT '{}',
    revision    bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT address_scopes_pkey PRIMARY KEY (id),
    CONSTRAINT address_scopes_family_key UNIQUE (id, ip_version),
    CONSTRAINT address_scopes_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT address_scopes_ip_version_known CHECK (ip_version IN (4, 6)),
    CONSTRAINT address_scopes_name_length CHECK (length(name) <= 255),
    CONSTRAINT address_scopes_description_length CHECK (length(description) <= 255)
);
CREATE INDEX address_scopes_tenant ON address_scopes (tenant_id);
COMMENT ON TABLE address_scopes IS 'Sets of subnet pools whose prefixes are one address space.';

CREATE TABLE subnetpools (
    id                uuid        NOT NULL,
    tenant_id         text        NOT NULL,
    name              text        NOT NULL DEFAULT '',
    description       text        NOT NULL DEFAULT '',
    ip_version        smallint    NOT NULL,
    default_prefixlen smallint    NOT NULL,
    min_prefixlen     smallint    NOT NULL,
    max_prefixlen     smallint    NOT NULL,
    default_quota     integer,
    is_default        boolean     NOT NULL DEFAULT false,
    address_scope_id  uuid,
    tags              text[]      NOT NULL DEFAULT '{}',
    revision          bigint      NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subnetpools_pkey PRIMARY KEY (id),
    CONSTRAINT subnetpools_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT subnetpools_address_scope_fkey FOREIGN KEY (address_scope_id, ip_version) REFERENCES address_scopes (id, ip_version) ON DELETE RESTRICT,
    CONSTRAINT subnetpools_ip_version_known CHECK (ip_version IN (4, 6)),
    CONSTRAINT subnetpools_prefixlen_range CHECK (
        0 <= min_prefixlen AND min_prefixlen <= default_prefixlen AND default_prefixlen <= max_prefixlen
        AND max_prefixlen <= CASE ip_version WHEN 4 THEN 32 ELSE 128 END),
    CONSTRAINT subnetpools_default_quota_range CHECK (default_quota >= 0),
    CONSTRAINT subnetpools_name_length CHECK (length(name) <= 255),
    CONSTRAINT subnetpools_description_length CHECK (length(description) <= 255)
);
CREATE INDEX subnetpools_tenant ON subnetpools (tenant_id);
CREATE INDEX subnetpools_tags ON subnetpools USING gin (tags) WHERE tags <> '{}';
CREATE INDEX subnetpools_address_scope ON subnetpools (address_scope_id) WHERE address_scope_id IS NOT NULL;
CREATE UNIQUE INDEX subnetpools_default_key ON subnetpools (ip_version) WHERE is_default;
COMMENT ON TABLE subnetpools IS 'Prefixes that subnets are cut out of.';
COMMENT ON COLUMN subnetpools.default_quota IS 'How much a tenant may have of it: IPv4 addresses, or /64 of IPv6; NULL: no limit.';

CREATE TABLE subnetpool_prefixes (
    pool_id          uuid NOT NULL,
    prefix           cidr NOT NULL,
    address_scope_id uuid,
    CONSTRAINT subnetpool_prefixes_pkey PRIMARY KEY (pool_id, prefix),
    CONSTRAINT subnetpool_prefixes_pool_fkey FOREIGN KEY (pool_id) REFERENCES subnetpools (id) ON DELETE CASCADE,
    CONSTRAINT subnetpool_prefixes_no_overlap EXCLUDE USING gist (pool_id WITH =, prefix inet_ops WITH &&),
    CONSTRAINT subnetpool_prefixes_one_space EXCLUDE USING gist (address_scope_id WITH =, prefix inet_ops WITH &&) WHERE (address_scope_id IS NOT NULL)
);
COMMENT ON TABLE subnetpool_prefixes IS 'The prefixes of subnet pools; those of one address scope never overlap.';
COMMENT ON COLUMN subnetpool_prefixes.address_scope_id IS 'That of the pool, for the constraint.';

ALTER TABLE subnets
    ADD COLUMN subnetpool_id uuid,
    ADD CONSTRAINT subnets_subnetpool_fkey FOREIGN KEY (subnetpool_id) REFERENCES subnetpools (id) ON DELETE RESTRICT,
    ADD CONSTRAINT subnets_subnetpool_no_overlap EXCLUDE USING gist (subnetpool_id WITH =, cidr inet_ops WITH &&) WHERE (subnetpool_id IS NOT NULL);
CREATE INDEX subnets_subnetpool ON subnets (subnetpool_id) WHERE subnetpool_id IS NOT NULL;
COMMENT ON COLUMN subnets.subnetpool_id IS 'The pool that the prefix was cut out of.';
