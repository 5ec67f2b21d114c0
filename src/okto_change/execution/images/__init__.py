"""Images: what the rows of a run were and became, the accounts before COMMIT, and the way back.

Two ways to capture. Triggers (``start``) are always right; images taken ahead (``begin_ahead``, then ``ahead_of_change`` or
``ahead_of_insert`` before each statement, ``prove`` after the last) are faster and take no locks, but only fit simple fixes.

In the order of use, all inside one transaction of the caller's::

    tables = images.cover(session, names)              # before BEGIN, where there is time
    capture = images.start(session, run, unit, tables)
    ...                                                # the author's statements
    accounting = images.account(session, capture, touches=declared)
    images.finish(session, capture)                    # COMMIT, then images.clean_up(session)

    images.restore(session, run, unit=unit)            # any time later: all rows as they were, or Conflict
    images.proof(session, capture)                     # in a rehearsal, after restore
"""

from okto_change.database.accounting import locks_taken as locks
from okto_change.execution.images.accounts import Accounting
from okto_change.execution.images.capture import (
    TRUNCATE_LIMIT,
    Capture,
    account,
    clean_up,
    finish,
    leftovers,
    start,
)
from okto_change.execution.images.coverage import Leaf, cover, refusals_before, resolve
from okto_change.execution.images.net import sample, writes
from okto_change.execution.images.obstacles import expected, obstacles_ahead
from okto_change.execution.images.optimistic import SMALL, Unproven, ahead_of_change, ahead_of_insert, prove
from okto_change.execution.images.optimistic import begin as begin_ahead
from okto_change.execution.images.restore import Restored, proof, restore
from okto_change.execution.images.series import Chunks, Series
from okto_change.execution.images.unheard import SILENCE, heard

__all__ = [
    "SILENCE",
    "SMALL",
    "TRUNCATE_LIMIT",
    "Accounting",
    "Capture",
    "Chunks",
    "Leaf",
    "Restored",
    "Series",
    "Unproven",
    "account",
    "ahead_of_change",
    "ahead_of_insert",
    "begin_ahead",
    "clean_up",
    "cover",
    "expected",
    "finish",
    "heard",
    "leftovers",
    "locks",
    "obstacles_ahead",
    "proof",
    "prove",
    "refusals_before",
    "resolve",
    "restore",
    "sample",
    "start",
    "writes",
]
