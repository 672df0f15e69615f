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
-- Hardly a port has more than an address of each family; a GIN index for all of
-- them would cost as much as the rest of the row.
CREATE INDEX mac_events_first_ip ON mac_events ((ips[1]), at) WHERE ips[1] IS NOT NULL;
CREATE INDEX mac_events_second_ip ON mac_events ((ips[2]), at) WHERE ips[2] IS NOT NULL;
CREATE INDEX mac_events_ips ON mac_events USING gin (ips) WHERE cardinality(ips) > 2;
-- Takes what no month is there for, so that no writer ever fails or waits for want of one.
CREATE TABLE mac_events_default PARTITION OF mac_events DEFAULT;
-- The first months; the controller makes the others in time.
DO $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE format('CREATE TABLE mac_events_%s PARTITION OF mac_events FOR VALUES FROM (%L) TO (%L)',
            to_char(month, 'YYYY_MM'), month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
    END LOOP;
END $$;
COMMENT ON TABLE mac_events IS 'Lineage: what became of every MAC address, when, by whom and where. Only added to, in the transaction of the change; each row is the whole of what was true after it. A partition per month of UTC.';
COMMENT ON COLUMN mac_events.at IS 'Read from the clock while the row of the address is locked, so that the events of one address are in order.';
COMMENT ON COLUMN mac_events.until IS 'When the state ends by itself: a reservation expires, a quarantine is over.';
COMMENT ON COLUMN mac_events.tenant_id IS 'No foreign key anywhere: lineage outlives what it tells of.';
