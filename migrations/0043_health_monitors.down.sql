ALTER TABLE affinity_backends
    DROP COLUMN probed,
    DROP COLUMN probed_at,
    DROP COLUMN probe_reason;
COMMENT ON COLUMN affinity_backends.health IS 'What a checker has said last: it tells us, and is not asked.';

ALTER TABLE affinity_pools
    DROP COLUMN monitor,
    DROP COLUMN monitor_delay,
    DROP COLUMN monitor_timeout,
    DROP COLUMN monitor_rise,
    DROP COLUMN monitor_fall,
    DROP COLUMN monitor_port,
    DROP COLUMN monitor_method,
    DROP COLUMN monitor_path,
    DROP COLUMN monitor_codes;
