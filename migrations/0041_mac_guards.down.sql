DROP TABLE mac_guards;
