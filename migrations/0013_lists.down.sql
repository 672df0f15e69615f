ALTER TABLE mac_segments DROP COLUMN tags;
ALTER TABLE security_groups DROP COLUMN tags;
ALTER TABLE ports DROP COLUMN tags;
ALTER TABLE subnets DROP COLUMN tags;
ALTER TABLE networks DROP COLUMN tags;
