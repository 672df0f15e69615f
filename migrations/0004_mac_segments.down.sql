DROP TABLE mac_segments;
