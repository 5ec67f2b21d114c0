"""Events -> a tamper-evident trail."""
