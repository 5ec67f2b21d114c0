CALL release_settlements(42);
