-- Pools of IPv6 are not known before: their backends go, and they with them.
DELETE FROM affinity_pools p WHERE (SELECT min(family(f.address)) FROM fixed_ips f WHERE f.port_id = p.vip_port_id) = 6;
ALTER TABLE affinity_backends
    DROP CONSTRAINT affinity_backends_address_single,
    ADD CONSTRAINT affinity_backends_address_v4 CHECK (family(address) = 4 AND masklen(address) = 32);
