CREATE TABLE mac_homes (
    address   bigint      NOT NULL,
    dpid      text        NOT NULL,
    port      bigint      NOT NULL,
    since     timestamptz NOT NULL,
    silent_at timestamptz,
    CONSTRAINT mac_homes_pkey PRIMARY KEY (address),
    CONSTRAINT mac_homes_switch_fkey FOREIGN KEY (dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT mac_homes_port_range CHECK (port BETWEEN 1 AND 4294967295)
);
CREATE INDEX mac_homes_switch ON mac_homes (dpid);
COMMENT ON TABLE mac_homes IS 'Where stations at the edge of fabrics have been for long: facts, by which the guard tells who came later.';
COMMENT ON COLUMN mac_homes.silent_at IS 'When it was last heard of; NULL: it is there.';
