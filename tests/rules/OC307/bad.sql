SELECT pg_terminate_backend(4711);
