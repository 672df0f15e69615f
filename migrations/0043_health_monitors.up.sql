ALTER TABLE affinity_pools
    ADD COLUMN monitor         text    NULL,
    ADD COLUMN monitor_delay   integer NOT NULL DEFAULT 0,
    ADD COLUMN monitor_timeout integer NOT NULL DEFAULT 0,
    ADD COLUMN monitor_rise    integer NOT NULL DEFAULT 0,
    ADD COLUMN monitor_fall    integer NOT NULL DEFAULT 0,
    ADD COLUMN monitor_port    integer NULL,
    ADD COLUMN monitor_method  text    NOT NULL DEFAULT '',
    ADD COLUMN monitor_path    text    NOT NULL DEFAULT '',
    ADD COLUMN monitor_codes   text    NOT NULL DEFAULT '',
    ADD CONSTRAINT affinity_pools_monitor_known CHECK (monitor IN ('tcp', 'http', 'ping')),
    ADD CONSTRAINT affinity_pools_monitor_times CHECK (monitor IS NULL OR monitor_delay BETWEEN 1 AND 3600 AND monitor_timeout BETWEEN 1 AND monitor_delay),
    ADD CONSTRAINT affinity_pools_monitor_counts CHECK (monitor IS NULL OR monitor_rise BETWEEN 1 AND 10 AND monitor_fall BETWEEN 1 AND 10),
    ADD CONSTRAINT affinity_pools_monitor_port_range CHECK (monitor_port IS NULL OR monitor_port BETWEEN 1 AND 65535 AND monitor IN ('tcp', 'http')),
    ADD CONSTRAINT affinity_pools_monitor_http CHECK ((monitor IS NOT DISTINCT FROM 'http') = (monitor_method <> '' AND monitor_path <> '' AND monitor_codes <> '')),
    ADD CONSTRAINT affinity_pools_monitor_lengths CHECK (length(monitor_method) <= 16 AND length(monitor_path) <= 255 AND length(monitor_codes) <= 64);
COMMENT ON COLUMN affinity_pools.monitor IS 'How the backends are probed; null: they are not.';
COMMENT ON COLUMN affinity_pools.monitor_port IS 'Port that is probed; null: where each backend listens.';

ALTER TABLE affinity_backends
    ADD COLUMN probed       text        NOT NULL DEFAULT 'unknown',
    ADD COLUMN probed_at    timestamptz NULL,
    ADD COLUMN probe_reason text        NOT NULL DEFAULT '',
    ADD CONSTRAINT affinity_backends_probed_known CHECK (probed IN ('unknown', 'up', 'down')),
    ADD CONSTRAINT affinity_backends_probed_since CHECK ((probed = 'unknown') = (probed_at IS NULL)),
    ADD CONSTRAINT affinity_backends_probe_reason_length CHECK (length(probe_reason) <= 255);
COMMENT ON COLUMN affinity_backends.probed IS 'What our probes have found: a fact, which a start of the controller begins from.';
COMMENT ON COLUMN affinity_backends.health IS 'What a checker of the operator has said last: it tells us, and is not asked.';
