"""A PostgreSQL server in a temporary folder, a payments database on it, and a walk through the whole journey."""
