"""Looking again while a run is under way: whether somebody who may has said no since it was cleared.

The word at the start was fresh; a run of hours goes by one that is hours old. So it fetches between steps and chunks, and
before each COMMIT, as often as costs it a few per cent. Without the remote it goes on and says so: it was cleared, half a
change is worse than a whole one, and whoever can cut the line must not be able to stop it half-way.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from okto_change.approval import policy as policies
from okto_change.approval.safegit import GitFailed
from okto_change.errors import Halted, NotAuthorised, OktoError
from okto_change.model import Lock, Risk
from okto_change.pipeline.repository import Repository

LEAST, MOST = 1.0, 30.0
"""seconds between two looks"""
SHARE = 40
"""how many times as long as the last look took until the next"""
PATIENCE = 5
"""seconds for a fetch: it may be within a transaction that holds locks"""


class Lookout:
    """Asks at most every few seconds; called between steps, raises Halted once somebody has said no.

    ``going_by`` are the ids of the statements that the run was cleared by, ``risk`` the one it was cleared at.
    """

    def __init__(
        self, repo: Repository, lock: Lock, going_by: Collection[str], risk: Risk, *, emergency: bool = False
    ) -> None:
        self._repo, self._lock, self._risk, self._emergency = repo, lock, risk, emergency
        self._going_by = frozenset(going_by)
        self._next = time.monotonic() + LEAST
        self._cut_off = False
        self._tips = self._seen()

    def __call__(self) -> None:
        """Fetch, if it is time for that, and judge what is new."""
        started = time.monotonic()
        if started < self._next:
            return
        self._fetch()
        try:
            tips = self._seen()
            if tips != self._tips:
                self.judge()
        except Halted:
            raise
        except OktoError as error:
            # What is new may be a no, and cannot be read: stopping loses nothing, going on might.
            raise self._halted(f"the decisions cannot be read: {error.message}") from error
        self._tips = tips
        took = time.monotonic() - started
        self._next = time.monotonic() + (MOST if self._cut_off else min(max(SHARE * took, LEAST), MOST))

    def judge(self) -> None:
        """Raise Halted if what was fetched last holds a no."""
        lock, mirror = self._lock, self._repo.mirror
        found = policies.refusals(
            self._repo.policy,
            lock,
            policies.examine(self._repo.policy, mirror.decision_files(lock.change, lock.environment)),
            self._going_by,
            now=datetime.now(UTC),
            risk=self._risk,
            emergency=self._emergency,
        )
        if found:
            raise self._halted("; ".join(found))

    def _fetch(self) -> None:
        try:
            self._repo.mirror.refresh(patience=PATIENCE)
        except GitFailed as error:
            if not self._cut_off:
                self._repo.tell(f"{error.message}; the run goes on by the decisions known so far")
            self._cut_off = True
        except NotAuthorised as error:
            raise self._halted(error.message) from error
        else:
            self._cut_off = False

    def _seen(self) -> tuple[str | None, ...]:
        mirror = self._repo.mirror
        return tuple(mirror.tip(ref) for ref in mirror.approvals_refs)

    def _halted(self, why: str) -> Halted:
        place = f"{self._lock.change} --env {self._lock.environment}"
        return Halted(
            f"stopped: {why}",
            where=self._lock.change,
            hint=f"see: okto-change approvals {place}; take back what stands: okto-change rollback {place}",
        )
