DROP INDEX fixed_ips_port;
CREATE INDEX fixed_ips_port ON fixed_ips (port_id);
DROP INDEX mac_addresses_kept;
