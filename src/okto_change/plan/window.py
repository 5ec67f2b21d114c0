"""The range of keys that a chunk of a batch may touch, as a constant condition that the author's SQL contains.

The text in the lock is the text that runs, for every chunk: the bounds are settings of the chunk's transaction, not SQL.
"""

from __future__ import annotations

from okto_change.model import Batch
from okto_change.plan.literals import identifier
from okto_change.plan.placing import Token

FIRST, LAST = "okto_change.batch_first", "okto_change.batch_last"


class Window:
    """``{{ batch }}`` in a template, and ``{{ batch.s }}`` where the table is called ``s``."""

    __slots__ = ("_batch",)

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __getattr__(self, alias: str) -> Token:
        if alias.startswith("_"):
            raise AttributeError(alias)
        return self.condition(alias.lower())

    def condition(self, *qualifier: str) -> Token:
        """Return the condition on the key, ``qualifier`` in front of it; raises ValueError for what is no name."""
        column, kind = identifier(*qualifier, self._batch.key), self._batch.type
        first, last = (f"current_setting('{name}')::{kind}" for name in (FIRST, LAST))
        return Token(f"({column} BETWEEN {first} AND {last})")
