"""ChangePlan (+ Found) -> Analysis. Pure; the only sqlglot."""
