-- Every port that is made looks for addresses that are kept for its instance; the index of all addresses of an instance
-- leads to those in use as well.
CREATE INDEX mac_addresses_kept ON mac_addresses (device_id) WHERE state = 'reserved' AND device_id <> '';
-- In the order in which they are shown, so that a list of ports sorts nothing.
DROP INDEX fixed_ips_port;
CREATE INDEX fixed_ips_port ON fixed_ips (port_id, ord);
