DROP TABLE mac_conflicts;
DROP TABLE mac_imports;
