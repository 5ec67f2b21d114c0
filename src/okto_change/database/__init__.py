"""Targets -> sessions, facts, counters. The only psycopg."""
