CREATE TABLE fabric_links (
    a_dpid text        NOT NULL,
    a_port bigint      NOT NULL,
    b_dpid text        NOT NULL,
    b_port bigint      NOT NULL,
    down   boolean     NOT NULL,
    tree   boolean     NOT NULL,
    since  timestamptz NOT NULL,
    CONSTRAINT fabric_links_pkey PRIMARY KEY (a_dpid, a_port, b_dpid, b_port),
    CONSTRAINT fabric_links_a_fkey FOREIGN KEY (a_dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT fabric_links_b_fkey FOREIGN KEY (b_dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT fabric_links_order CHECK ((a_dpid COLLATE "C", a_port) < (b_dpid COLLATE "C", b_port)),
    CONSTRAINT fabric_links_ports CHECK (a_port BETWEEN 1 AND 4294967295 AND b_port BETWEEN 1 AND 4294967295),
    CONSTRAINT fabric_links_tree_up CHECK (NOT (down AND tree))
);
CREATE INDEX fabric_links_b ON fabric_links (b_dpid);
COMMENT ON TABLE fabric_links IS 'Links between switches: facts written by the controller, which takes them over when it starts.';
COMMENT ON COLUMN fabric_links.down IS 'It was lost, and nothing else has been found at its ports.';
COMMENT ON COLUMN fabric_links.tree IS 'Frames for everybody take it.';

CREATE TABLE fabric_key (
    only_one boolean NOT NULL DEFAULT true,
    key      bytea   NOT NULL,
    CONSTRAINT fabric_key_pkey PRIMARY KEY (only_one),
    CONSTRAINT fabric_key_only_one CHECK (only_one),
    CONSTRAINT fabric_key_length CHECK (length(key) = 32)
);
COMMENT ON TABLE fabric_key IS 'Signs the frames by which links are found; made by the first controller.';
