-- with {"padding": 300000}
UPDATE settlement SET note = 'PADDING' WHERE id = 17;
