DROP TABLE idempotency_keys;
DROP TABLE audit_log;
DROP SEQUENCE audit_log_ids;
