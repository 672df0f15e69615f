ALTER TABLE affinity_backends
    DROP CONSTRAINT affinity_backends_address_v4,
    ADD CONSTRAINT affinity_backends_address_single CHECK (masklen(address) = CASE family(address) WHEN 4 THEN 32 ELSE 128 END);
