-- with {"functions": {"release_settlements": "v", "fee_of": "s"}}
SELECT fee_of(42);
