ALTER TABLE settlement DROP COLUMN note, ADD COLUMN memo text;
