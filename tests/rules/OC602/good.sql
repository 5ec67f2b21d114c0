-- with {"undo": {"script": "ALTER TABLE settlement DROP COLUMN note;"}}
ALTER TABLE settlement ADD COLUMN note text;
