-- with {"functions": {"release_settlements": "v", "fee_of": "s"}}
SELECT release_settlements(42);
