-- Images of config edits, kept beside the journal.

-- name: edit_keep
-- Written before the file is swapped; a resumed run may write it again.
INSERT INTO okto_change.edit_image (run, unit, target, file, before, after)
VALUES (%(run)s, %(unit)s, %(target)s, %(file)s, %(before)s, %(after)s)
ON CONFLICT (run, unit) DO UPDATE SET before = EXCLUDED.before, after = EXCLUDED.after

-- name: edit_image
-- What the edit of this run and unit found and left.
SELECT before, after FROM okto_change.edit_image WHERE run = %(run)s AND unit = %(unit)s
