CREATE TABLE mac_guards (
    id               uuid        NOT NULL,
    network_id       uuid,
    description      text        NOT NULL DEFAULT '',
    action           text,
    moves            integer,
    window_seconds   bigint,
    recovery_seconds bigint,
    exempt           text[],
    trusted          text[],
    revision         bigint      NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mac_guards_pkey PRIMARY KEY (id),
    CONSTRAINT mac_guards_network_fkey FOREIGN KEY (network_id) REFERENCES networks (id),
    CONSTRAINT mac_guards_description_length CHECK (length(description) <= 255),
    CONSTRAINT mac_guards_action_known CHECK (action IN ('report', 'block-mac', 'block-port', 'none')),
    CONSTRAINT mac_guards_moves_range CHECK (moves BETWEEN 2 AND 100),
    CONSTRAINT mac_guards_window_range CHECK (window_seconds BETWEEN 1 AND 86400),
    CONSTRAINT mac_guards_recovery_range CHECK (recovery_seconds BETWEEN 1 AND 86400)
);
CREATE INDEX mac_guards_network ON mac_guards (network_id) WHERE network_id IS NOT NULL;
CREATE UNIQUE INDEX mac_guards_network_key ON mac_guards ((coalesce(network_id::text, '')));
COMMENT ON TABLE mac_guards IS 'What the guard against moving MAC addresses does: for those of a network, or for all others. NULL: as for all others, and for these as the controller was started.';
COMMENT ON COLUMN mac_guards.exempt IS 'MAC prefixes that may move as they like, such as 00:00:5e:00:01:00/40.';
COMMENT ON COLUMN mac_guards.trusted IS 'Ports of switches whose stations belong there, such as 00000000000000a1:7.';
