DROP TABLE mac_moves;
DROP TABLE block_terms;
DROP TABLE blocks;
