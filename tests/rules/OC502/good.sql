-- with {"padding": 3000}
UPDATE settlement SET note = 'PADDING' WHERE id = 17;
