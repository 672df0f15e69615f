CREATE TABLE blocks (
    id         uuid        NOT NULL,
    num        integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
    address    bigint,
    dpid       text,
    port       bigint,
    cause      text        NOT NULL DEFAULT 'hand',
    reason     text        NOT NULL DEFAULT '',
    seconds    bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz,
    revision   bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT blocks_pkey PRIMARY KEY (id),
    CONSTRAINT blocks_num_key UNIQUE (num),
    CONSTRAINT blocks_switch_fkey FOREIGN KEY (dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT blocks_address_individual CHECK (address BETWEEN 1 AND 281474976710655 AND address & 1099511627776 = 0),
    CONSTRAINT blocks_port_range CHECK (port BETWEEN 1 AND 4294967295),
    CONSTRAINT blocks_place_whole CHECK ((dpid IS NULL) = (port IS NULL)),
    CONSTRAINT blocks_something CHECK (num_nonnulls(address, dpid) > 0),
    CONSTRAINT blocks_cause_known CHECK (cause IN ('hand', 'moves', 'conflict')),
    CONSTRAINT blocks_reason_length CHECK (length(reason) <= 255)
);
CREATE UNIQUE INDEX blocks_key ON blocks ((coalesce(address, 0)), (coalesce(dpid, '')), (coalesce(port, 0)));
CREATE INDEX blocks_switch ON blocks (dpid) WHERE dpid IS NOT NULL;
CREATE INDEX blocks_due ON blocks (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE blocks IS 'What switches drop where it comes in: frames from an address, at a port, or from an address at a port. Made by the guard or by hand.';
COMMENT ON COLUMN blocks.seconds IS 'For how long the guard has made it; 0: made by hand.';

CREATE TABLE block_terms (
    address  bigint      NOT NULL,
    dpid     text        NOT NULL,
    port     bigint      NOT NULL,
    seconds  bigint      NOT NULL,
    ended_at timestamptz NOT NULL,
    CONSTRAINT block_terms_pkey PRIMARY KEY (address, dpid, port)
);
COMMENT ON TABLE block_terms IS 'Blocks of the guard that have expired lately: whoever relapses is blocked for longer. An address of 0 is that of a block of a port.';

CREATE TABLE mac_moves (
    id        uuid        NOT NULL,
    address   bigint      NOT NULL,
    from_dpid text        NOT NULL,
    from_port bigint      NOT NULL,
    to_dpid   text        NOT NULL,
    to_port   bigint      NOT NULL,
    verdict   text        NOT NULL,
    times     bigint      NOT NULL,
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    CONSTRAINT mac_moves_pkey PRIMARY KEY (id),
    CONSTRAINT mac_moves_verdict_known CHECK (verdict IN ('move', 'moves', 'conflict')),
    CONSTRAINT mac_moves_key UNIQUE (address, from_dpid, from_port, to_dpid, to_port)
);
CREATE INDEX mac_moves_last ON mac_moves (last_at, id);
COMMENT ON TABLE mac_moves IS 'Stations that were seen at one place of the edge of a fabric and then at another: facts, the latest of them.';
