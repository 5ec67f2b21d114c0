-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "referenced_by": ["public.settlement_item"]}}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
