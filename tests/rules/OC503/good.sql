-- transação
UPDATE "liquidação" SET status = 'concluído' WHERE id = 17;
