DROP FUNCTION publish_changes(bigint, text);
