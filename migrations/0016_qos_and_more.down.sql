DROP TABLE flavor_profiles;
DROP TABLE flavors;
DROP TABLE service_profiles;
DROP TABLE metering_label_rules;
DROP TABLE metering_labels;
DROP FUNCTION quotas_check;
DROP FUNCTION quotas_used;
DELETE FROM quotas WHERE resource NOT IN ('mac_segment', 'mac_address');
ALTER TABLE quotas
    DROP CONSTRAINT quotas_resource_known,
    ADD CONSTRAINT quotas_resource_known CHECK (resource IN ('mac_segment', 'mac_address'));
DROP TABLE trunk_subports;
DROP TABLE trunks;
ALTER TABLE ports DROP COLUMN qos_policy_id;
ALTER TABLE networks DROP COLUMN qos_policy_id;
DROP TABLE qos_rules;
DROP TABLE qos_policies;
