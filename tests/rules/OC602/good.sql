ALTER TABLE settlement ADD COLUMN note text;
