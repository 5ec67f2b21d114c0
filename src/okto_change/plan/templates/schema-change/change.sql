ALTER TABLE @table@ ADD COLUMN note text;
