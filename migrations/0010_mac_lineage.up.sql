CREATE SEQUENCE mac_event_ids;
CREATE TABLE mac_events (
    id          bigint      NOT NULL DEFAULT nextval('mac_event_ids'),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    address     bigint      NOT NULL,
    kind        text        NOT NULL,
    state       text        NOT NULL,
    until       timestamptz,
    segment_id  uuid,
    tenant_id   text        NOT NULL,
    port_id     uuid,
    network_id  uuid,
    device_id   text        NOT NULL DEFAULT '',
    ips         inet[]      NOT NULL DEFAULT '{}',
    host        text        NOT NULL DEFAULT '',
    datapath    text        NOT NULL DEFAULT '',
    switch_port bigint      NOT NULL DEFAULT 0,
    interface   text        NOT NULL DEFAULT '',
    actor       text        NOT NULL DEFAULT '',
    request_id  text        NOT NULL DEFAULT '',
    detail      text        NOT NULL DEFAULT ''
) PARTITION BY RANGE (at);
CREATE INDEX mac_events_address ON mac_events (address, at);
CREATE INDEX mac_events_tenant ON mac_events (tenant_id, at);
CREATE INDEX mac_events_device ON mac_events (device_id, at) WHERE device_id <> '';
CREATE INDEX mac_events_host ON mac_events (host, at) WHERE host <> '';
CREATE INDEX mac_events_datapath ON mac_events (datapath, at) WHERE datapath <> '';
CREATE INDEX mac_events_actor ON mac_events (actor, at) WHERE actor <> '';
CREATE INDEX mac_events_ips ON mac_events USING gin (ips) WITH (fastupdate = on, gin_pending_list_limit = 64) WHERE ips <> '{}';
-- Takes what no month is there for, so that no writer ever fails or waits for want of one.
CREATE TABLE mac_events_default PARTITION OF mac_events DEFAULT;
COMMENT ON TABLE mac_events IS 'Lineage: what became of every MAC address, when, by whom and where. Only added to, in the transaction of the change; each row is the whole of what was true after it. A partition per month of UTC.';
COMMENT ON COLUMN mac_events.at IS 'Read from the clock while the row of the address is locked, so that the events of one address are in order.';
COMMENT ON COLUMN mac_events.until IS 'When the state ends by itself: a reservation expires, a quarantine is over.';
COMMENT ON COLUMN mac_events.tenant_id IS 'No foreign key anywhere: lineage outlives what it tells of.';
