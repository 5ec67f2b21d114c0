-- with {"undo": {"script": "ALTER TABLE settlement DROP COLUMN note;"}}
CREATE TEMP TABLE chosen ON COMMIT DROP AS SELECT id FROM settlement WHERE status = 'STUCK';
DELETE FROM settlement WHERE id IN (SELECT id FROM chosen);
