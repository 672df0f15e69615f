DROP TABLE fabric_hosts;
