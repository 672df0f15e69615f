-- The table was there before anything was kept in it.
ALTER TABLE idempotency_keys ADD COLUMN content_type text NOT NULL;
