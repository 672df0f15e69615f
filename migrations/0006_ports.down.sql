DROP TABLE port_security_groups;
DROP TABLE fixed_ips;
DROP TABLE mac_addresses;
DROP TABLE ports;
