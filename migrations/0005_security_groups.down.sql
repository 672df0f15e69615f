DROP TABLE security_group_rules;
DROP TABLE security_groups;
