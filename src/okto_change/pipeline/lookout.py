"""Looking again while a run is under way: whether somebody who may has said no since it was cleared.

The word at the start was fresh; a run of hours goes by one that is hours old. So it fetches between steps and chunks, and
before each COMMIT, as often as costs it a few per cent; of a chunk beside its statements, which take longer, so that only the
answer is waited for before the COMMIT. Without the remote it goes on and says so: it was cleared, half a
change is worse than a whole one, and whoever can cut the line must not be able to stop it half-way.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from okto_change.approval import policy as policies
from okto_change.approval.safegit import GitFailed
from okto_change.errors import Halted, NotAuthorised, OktoError
from okto_change.model import Lock, Risk
from okto_change.model.base import type_
from okto_change.pipeline.repository import Repository

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from okto_change.approval.mirror import Mirror

LEAST, MOST = 1.0, 30.0
"""seconds between two looks"""
SHARE = 40
"""how many times as long as the last look took until the next"""
PATIENCE = 5
"""seconds for a fetch: it may be within a transaction that holds locks"""


@type_
class Fetched:
    """What became of a fetch: when it ended, on the clock that only goes on, and how many seconds it took."""

    ended: float
    took: float
    error: GitFailed | NotAuthorised | None = None


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
        self._helper: ThreadPoolExecutor | None = None
        self._under_way: Future[Fetched] | None = None
        self._lasted = 0.0

    def __call__(self) -> None:
        """Fetch, if it is time for that, or wait for what is fetched beside; judge what is new."""
        beside = self._under_way is not None
        if not beside and time.monotonic() < self._next:
            return
        self._look()
        if beside and time.monotonic() >= self._next:  # the work beside took longer than a look may be old
            self._look()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Fetch beside the body, if it is time for that before it ends; the next call judges.

        It is taken to last as long as the one before. On leaving nothing is under way any more.
        """
        started = time.monotonic()
        if self._under_way is None and started + self._lasted >= self._next:
            self._under_way = self._start()
        try:
            yield
        finally:
            self._lasted = time.monotonic() - started
            if self._under_way is not None:
                self._under_way.exception()  # waits; whoever judges raises it

    def _start(self) -> Future[Fetched]:
        if self._helper is None:
            from concurrent.futures import ThreadPoolExecutor  # 15 ms that most runs need not spend

            self._helper = ThreadPoolExecutor(1, "lookout")
        return self._helper.submit(_fetch, self._repo.mirror)

    def _look(self) -> None:
        fetched = self._fetched()
        started = time.monotonic()
        self._note(fetched.error)
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
        took = fetched.took + time.monotonic() - started
        self._next = fetched.ended + (MOST if self._cut_off else min(max(SHARE * took, LEAST), MOST))

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

    def _fetched(self) -> Fetched:
        under_way, self._under_way = self._under_way, None
        return _fetch(self._repo.mirror) if under_way is None else under_way.result()

    def _note(self, error: GitFailed | NotAuthorised | None) -> None:
        if isinstance(error, NotAuthorised):
            raise self._halted(error.message) from error
        if error is not None and not self._cut_off:
            self._repo.tell(f"{error.message}; the run goes on by the decisions known so far")
        self._cut_off = error is not None

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


def _fetch(mirror: Mirror) -> Fetched:
    started, failed = time.monotonic(), None
    try:
        mirror.refresh(patience=PATIENCE)
    except (GitFailed, NotAuthorised) as error:
        failed = error
    ended = time.monotonic()
    return Fetched(ended=ended, took=ended - started, error=failed)
