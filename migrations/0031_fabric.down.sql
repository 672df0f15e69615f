DROP TABLE fabric_key;
DROP TABLE fabric_links;
