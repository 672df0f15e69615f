DROP FUNCTION quotas_used(text, text);
ALTER FUNCTION quotas_used_before_0028(text, text) RENAME TO quotas_used;
DELETE FROM quotas WHERE resource = 'mac_allow_list';
ALTER TABLE quotas
    DROP CONSTRAINT quotas_resource_known,
    ADD CONSTRAINT quotas_resource_known CHECK (resource IN ('network', 'subnet', 'port', 'router', 'floatingip', 'subnetpool', 'security_group',
        'security_group_rule', 'rbac_policy', 'trunk', 'mac_segment', 'mac_address'));
DROP TABLE mac_allow_list_entries;
DROP TABLE mac_allow_lists;
DROP FUNCTION mac_allow_lists_mark_network();
ALTER TABLE networks DROP COLUMN mac_listed;
