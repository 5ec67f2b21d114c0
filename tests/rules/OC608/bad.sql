-- with {"as": "check"}
SELECT 1;
SELECT 2;
