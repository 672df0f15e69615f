CREATE TABLE fabric_slots (
    dpid text     NOT NULL,
    slot smallint NOT NULL,
    CONSTRAINT fabric_slots_pkey PRIMARY KEY (dpid),
    CONSTRAINT fabric_slots_slot_key UNIQUE (slot),
    CONSTRAINT fabric_slots_dpid_fkey FOREIGN KEY (dpid) REFERENCES switches (dpid) ON DELETE CASCADE,
    CONSTRAINT fabric_slots_range CHECK (slot BETWEEN 1 AND 4095)
);
COMMENT ON TABLE fabric_slots IS 'Numbers of linked switches, by which frames on paths name them; free again when the switch is removed.';
