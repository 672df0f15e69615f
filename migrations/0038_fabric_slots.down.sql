DROP TABLE fabric_slots;
