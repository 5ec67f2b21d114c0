"""Clearance -> events -> Outcome: units of work, checks, one loop that changes things, and their undo."""
