-- with {"undo": {"irreversible": "an index is dropped by hand"}}
CREATE INDEX CONCURRENTLY settlement_status ON settlement (status);
