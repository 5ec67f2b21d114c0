"""Clearance -> events -> Outcome."""
