ALTER TABLE ports DROP COLUMN qos_policy_id;
ALTER TABLE networks DROP COLUMN qos_policy_id;
DROP TABLE qos_rules;
DROP TABLE qos_policies;
