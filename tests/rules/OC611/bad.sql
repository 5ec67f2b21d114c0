ALTER TABLE settlement DROP COLUMN note;
