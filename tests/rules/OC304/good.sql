COPY settlement (id, status) FROM STDIN;
17	RELEASED
\.
