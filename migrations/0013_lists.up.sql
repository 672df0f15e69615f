ALTER TABLE networks ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE subnets ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE ports ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE security_groups ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE mac_segments ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
