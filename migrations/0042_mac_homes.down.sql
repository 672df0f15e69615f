DROP TABLE mac_homes;
