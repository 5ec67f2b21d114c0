"""A run's id."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from okto_change.execution.job import new_run


def test_the_id_tells_the_second_and_differs_within_it() -> None:
    """Thirty-two random bits: a hundred runs of one second have a hundred ids."""
    ids = {new_run(datetime(2026, 11, 22, 2, 9, 13, tzinfo=UTC)) for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"20261122-020913-[0-9a-f]{8}", each) for each in ids)
