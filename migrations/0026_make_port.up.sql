-- Makes a port with all that belongs to it, for addresses that are chosen but
-- not yet anybody's: if one of them has meanwhile become somebody's, or the lease
-- that the MAC is out of is lost, the transaction has to choose anew. As one call
-- it costs half of what the statements do, and needs no round trip before that of
-- the commit. The lineage and the counters of the address are written as
-- everywhere: in the transaction of the change.
CREATE FUNCTION make_port(
    id uuid, tenant text, network uuid, name text, description text, admin_up boolean, device_id text, device_owner text,
    host text, interface_name text, port_no bigint, port_security boolean, vnic_type text, qos_policy uuid, extras jsonb, network_owner text, tags text[],
    groups uuid[], mac bigint, segment uuid, fence bigint, subnets uuid[], addresses inet[],
    event text, datapath text, actor text, request text,
    OUT num integer, OUT created_at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    member uuid;
BEGIN
    INSERT INTO ports (id, tenant_id, network_id, name, description, admin_up, device_id, device_owner, host, interface_name, port_no,
        port_security, vnic_type, qos_policy_id, extras, network_owner, tags)
    VALUES (id, tenant, network, name, description, admin_up, device_id, device_owner, host, interface_name, port_no,
        port_security, vnic_type, qos_policy, extras, network_owner, tags)
    RETURNING ports.num, ports.created_at INTO num, created_at;
    FOREACH member IN ARRAY groups LOOP
        INSERT INTO port_security_groups (port_id, group_id) VALUES (id, member);
    END LOOP;

    INSERT INTO mac_addresses AS m (address, segment_id, tenant_id, port_id, network_id, device_id, state, origin)
    SELECT mac, segment, tenant, id, network, device_id, 'active', 'port'
    WHERE fence = 0 OR EXISTS (SELECT FROM mac_leases l WHERE l.fence = make_port.fence AND l.expires_at > now())
    ON CONFLICT ON CONSTRAINT mac_addresses_pkey DO UPDATE SET segment_id = excluded.segment_id, tenant_id = excluded.tenant_id,
        port_id = excluded.port_id, network_id = excluded.network_id, device_id = excluded.device_id, state = excluded.state,
        origin = excluded.origin, expires_at = NULL, free_at = NULL, created_at = now(), changed_at = now()
        WHERE m.state = 'free';
    IF NOT FOUND THEN
        RAISE serialization_failure USING MESSAGE = 'the MAC address has become somebody''s';
    END IF;
    FOR i IN 1..cardinality(addresses) LOOP
        INSERT INTO fixed_ips (subnet_id, address, port_id, ord) VALUES (subnets[i], addresses[i], id, i - 1)
        ON CONFLICT ON CONSTRAINT fixed_ips_pkey DO NOTHING;
        IF NOT FOUND THEN
            RAISE serialization_failure USING MESSAGE = 'the IP address has become somebody''s';
        END IF;
    END LOOP;

    INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
    VALUES (coalesce(segment, '00000000-0000-0000-0000-000000000000'), tenant, 1, 0, 0);
    INSERT INTO mac_events (address, kind, state, segment_id, tenant_id, port_id, network_id, device_id, ips, host, datapath, switch_port,
        interface, actor, request_id)
    VALUES (mac, event, 'active', segment, tenant, id, network, device_id, addresses, host, datapath, port_no,
        interface_name, actor, request);
END $$;
