"""The proof that policy is met for one lock. Whoever holds one may run it; only ``approval.policy.clear`` makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime

from okto_change.model.evidence import Lock


class _Seal:
    """What a clearance must be made with; there is one, and only ``approval`` takes it."""

    def __repr__(self) -> str:
        return "<seal>"


SEAL = _Seal()


@dataclass(frozen=True, kw_only=True, slots=True)
class Clearance:
    """Who agreed to exactly this lock, under which policy, at which commit.

    ``statements`` are the ids of the decisions that counted (hex), ``spent`` those of them that serve one run only (a
    submission serves as long as its lock does), ``counted`` maps people to the group they counted
    for, ``submitters`` are the people who submitted, ``executor`` who runs it (None where anybody may). ``commit`` is
    where the plan was read, ``broken`` the id of the statement that broke the glass. Raises TypeError when made anywhere
    but in ``approval``.
    """

    lock: Lock
    policy_sha256: str
    policy_version: int
    commit: str
    statements: tuple[str, ...]
    spent: tuple[str, ...]
    counted: Mapping[str, str]
    submitters: tuple[str, ...]
    executor: str | None
    at: datetime
    broken: str | None
    seal: InitVar[_Seal]

    def __post_init__(self, seal: _Seal) -> None:
        """Refuse a clearance that nobody granted."""
        if seal is not SEAL:
            raise TypeError("only approval.policy.clear makes a Clearance")
