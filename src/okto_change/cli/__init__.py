"""The command line. The only click; no decisions."""
