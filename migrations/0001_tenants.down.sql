DROP TABLE tenants;
DROP EXTENSION btree_gist;
