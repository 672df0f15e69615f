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
