CREATE TABLE fabric_hosts (
    mac          bigint      NOT NULL,
    dpid         text        NOT NULL,
    port         bigint      NOT NULL,
    ip_addresses inet[]      NOT NULL,
    since        timestamptz NOT NULL,
    last_seen    timestamptz NOT NULL,
    moved_at     timestamptz,
    moves        bigint      NOT NULL,
    CONSTRAINT fabric_hosts_pkey PRIMARY KEY (mac),
    CONSTRAINT fabric_hosts_dpid_fkey FOREIGN KEY (dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT fabric_hosts_mac CHECK (mac BETWEEN 1 AND 281474976710655 AND mac & 1099511627776 = 0),
    CONSTRAINT fabric_hosts_port CHECK (port BETWEEN 1 AND 4294967295),
    CONSTRAINT fabric_hosts_ip_addresses CHECK (cardinality(ip_addresses) <= 8),
    CONSTRAINT fabric_hosts_moves CHECK (moves >= 0 AND (moves = 0) = (moved_at IS NULL))
);
CREATE INDEX fabric_hosts_dpid ON fabric_hosts (dpid);
COMMENT ON TABLE fabric_hosts IS 'Stations behind ports that no tenant port is bound to: facts written by the controller, which takes them over when it starts.';
COMMENT ON COLUMN fabric_hosts.ip_addresses IS 'Told by ARP or neighbour discovery, the latest last.';
COMMENT ON COLUMN fabric_hosts.last_seen IS 'When a frame of it last came to the controller.';
