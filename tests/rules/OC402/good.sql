-- with {"undo": {"irreversible": "an index is dropped by hand"}}
CREATE INDEX settlement_status ON settlement (status);
