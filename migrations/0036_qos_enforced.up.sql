ALTER TABLE qos_policies
    ADD COLUMN num bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    ADD CONSTRAINT qos_policies_num_key UNIQUE (num);
COMMENT ON COLUMN qos_policies.num IS 'Small number of the policy in flows; never given again.';

ALTER TABLE qos_rules
    DROP CONSTRAINT qos_rules_kind_known,
    ADD CONSTRAINT qos_rules_kind_known CHECK (
        kind IN ('bandwidth_limit', 'dscp_marking', 'minimum_bandwidth', 'minimum_packet_rate', 'packet_rate_limit', 'priority')),
    ADD COLUMN class smallint NOT NULL DEFAULT 0,
    ADD CONSTRAINT qos_rules_class_range CHECK (class BETWEEN 0 AND 7);
COMMENT ON COLUMN qos_rules.class IS 'Of a priority: 7 goes before all others, 0 is what packets without a rule have.';

ALTER TABLE mac_segments
    ADD COLUMN qos_policy_id uuid,
    ADD CONSTRAINT mac_segments_qos_policy_fkey FOREIGN KEY (qos_policy_id) REFERENCES qos_policies (id) ON DELETE NO ACTION;
CREATE INDEX mac_segments_qos_policy ON mac_segments (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
COMMENT ON COLUMN mac_segments.qos_policy_id IS 'For the packets of its addresses, unless their port has a policy of its own.';
