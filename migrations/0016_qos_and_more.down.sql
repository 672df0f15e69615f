ALTER TABLE ports DROP CONSTRAINT ports_qos_policy_fkey;
ALTER TABLE networks DROP CONSTRAINT networks_qos_policy_fkey;
DROP TABLE qos_rules;
DROP TABLE qos_policies;
