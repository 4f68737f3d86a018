-- The signed release that nodes are sent to, in place of an image: a URL, or a name on the host. Its place in the order of releases.
ALTER TABLE releases ADD COLUMN manifest TEXT;
ALTER TABLE releases ADD COLUMN sequence BIGINT;
-- images.file may be a URL as well.
-- JSON: the image hashes of those who get a patch in place of the image.
ALTER TABLE images ADD COLUMN patches TEXT NOT NULL DEFAULT '[]';
