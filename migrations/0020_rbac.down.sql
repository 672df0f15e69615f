ALTER TABLE ports DROP COLUMN network_owner;
ALTER TABLE networks DROP CONSTRAINT networks_owner_key;
DROP TABLE rbac_policies;
ALTER TABLE security_group_rules DROP CONSTRAINT security_group_rules_remote_address_group_fkey;
