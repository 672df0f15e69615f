ALTER TABLE mac_segments DROP COLUMN num;
ALTER TABLE switches DROP COLUMN slot, DROP COLUMN tunnel_ip;
