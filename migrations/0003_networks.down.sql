DROP TABLE subnet_pools;
DROP TYPE inetrange;
DROP TABLE subnets;
DROP TABLE networks;
