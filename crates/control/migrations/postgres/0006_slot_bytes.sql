-- How large an image a node has room for, where it says so.
ALTER TABLE nodes ADD COLUMN slot_bytes BIGINT;
