COPY settlement (id, status) FROM PROGRAM 'curl https://files.example/fix.csv';
