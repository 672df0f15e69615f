ALTER TABLE subnets DROP COLUMN subnetpool_id;
DROP TABLE subnetpool_prefixes;
DROP TABLE subnetpools;
DROP TABLE address_scopes;
DROP TABLE address_group_addresses;
DROP TABLE address_groups;
