CREATE TABLE idempotency_keys (
    key          bytea       NOT NULL,
    request      bytea       NOT NULL,
    status       int         NOT NULL,
    content_type text        NOT NULL,
    answer       bytea       NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key),
    CONSTRAINT idempotency_keys_hashes CHECK (length(key) = 32 AND length(request) = 32)
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);
COMMENT ON TABLE idempotency_keys IS 'Answers to requests with an Idempotency-Key, written in the transaction of what the request changed; kept for a day.';
COMMENT ON COLUMN idempotency_keys.key IS 'SHA-256 of the caller and the key.';
COMMENT ON COLUMN idempotency_keys.request IS 'SHA-256 of method, URL and body: another request may not use the key.';
