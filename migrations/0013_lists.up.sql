ALTER TABLE networks ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE subnets ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE ports ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE security_groups ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE mac_segments ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
-- Only of what has tags, so that all else costs nothing.
CREATE INDEX networks_tags ON networks USING gin (tags) WHERE tags <> '{}';
CREATE INDEX subnets_tags ON subnets USING gin (tags) WHERE tags <> '{}';
CREATE INDEX ports_tags ON ports USING gin (tags) WHERE tags <> '{}';
CREATE INDEX security_groups_tags ON security_groups USING gin (tags) WHERE tags <> '{}';

-- Lists of a tenant or a network come in the order of the index.
DROP INDEX ports_tenant;
CREATE INDEX ports_tenant ON ports (tenant_id, id);
DROP INDEX ports_network;
CREATE INDEX ports_network ON ports (network_id, id);
CREATE INDEX ports_name ON ports (name) WHERE name <> '';
