DROP TABLE fabric_vlans;
