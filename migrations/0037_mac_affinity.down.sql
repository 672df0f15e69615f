ALTER TABLE switches DROP COLUMN pools;
DROP TABLE affinity_backends;
DROP TABLE affinity_pools;
