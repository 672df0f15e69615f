CREATE TABLE switches (
    dpid          text        NOT NULL,
    address       text        NOT NULL DEFAULT '',
    connected     boolean     NOT NULL DEFAULT false,
    description   text        NOT NULL DEFAULT '',
    ports         jsonb       NOT NULL DEFAULT '[]',
    realized      bigint      NOT NULL DEFAULT 0,
    foreign_flows integer     NOT NULL DEFAULT 0,
    fail_mode     text        NOT NULL DEFAULT '',
    error         text        NOT NULL DEFAULT '',
    connected_at  timestamptz,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT switches_pkey PRIMARY KEY (dpid),
    CONSTRAINT switches_dpid_hex CHECK (dpid ~ '^[0-9a-f]{16}$'),
    CONSTRAINT switches_ports_list CHECK (jsonb_typeof(ports) = 'array')
);
COMMENT ON TABLE switches IS 'What is known of each datapath: facts written by the controller.';
COMMENT ON COLUMN switches.realized IS 'Change revision that the flows of the switch reflect.';
