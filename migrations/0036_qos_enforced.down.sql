ALTER TABLE mac_segments DROP COLUMN qos_policy_id;
DELETE FROM qos_rules WHERE kind = 'priority';
ALTER TABLE qos_rules
    DROP COLUMN class,
    DROP CONSTRAINT qos_rules_kind_known,
    ADD CONSTRAINT qos_rules_kind_known CHECK (kind IN ('bandwidth_limit', 'dscp_marking', 'minimum_bandwidth', 'minimum_packet_rate', 'packet_rate_limit'));
ALTER TABLE qos_policies DROP COLUMN num;
