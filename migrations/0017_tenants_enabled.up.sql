ALTER TABLE tenants ADD COLUMN enabled boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN tenants.enabled IS 'Whether tokens of the tenant are accepted. What it owns works on either way.';
