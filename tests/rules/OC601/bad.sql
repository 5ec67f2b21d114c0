-- with {"undo": {"script": "ALTER TABLE settlement DROP COLUMN note;"}}
ALTER TABLE settlement ADD COLUMN note text;
UPDATE settlement SET note = 'fixed' WHERE id = 17;
