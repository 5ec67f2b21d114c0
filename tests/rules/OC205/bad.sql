-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "referenced_by": ["public.settlement_item"]}}}
DELETE FROM settlement WHERE id = 17;
