"""What a rule is: data, and one predicate that says in words where it matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from okto_change.analysis.subject import Subject
from okto_change.model import AutoUndo, Finding, Severity
from okto_change.model.base import type_

Predicate = Callable[[Subject], Iterator[str]]


class Scope(StrEnum):
    """What a rule looks at, one at a time."""

    STATEMENT = "statement"
    STEP = "step"
    CHECK = "check"
    PLAN = "plan"


@type_
class Rule:
    """A rule as data. ``predicate`` yields a message for every match; effect and remedy say the rest."""

    code: str
    title: str
    severity: Severity
    condition: str
    effect: str
    remedy: str
    predicate: Predicate
    scope: Scope = Scope.STATEMENT
    scripts: bool = False
    """also for statements of undo scripts"""
    excused: bool = False
    """an ERROR that a hand-written undo or an ``irreversible`` line turns into a WARNING"""
    softened: Callable[[Subject], bool] | None = None
    """says when an ERROR is only a WARNING, because the rest of the plan may make it right"""

    def judge(self, subject: Subject) -> Iterator[Finding]:
        """Yield a finding for every match."""
        for message in self.predicate(subject):
            yield Finding(
                code=self.code,
                title=self.title,
                severity=self._severity(subject),
                where=subject.where,
                message=message,
                effect=self.effect,
                remedy=self.remedy,
            )

    def _severity(self, subject: Subject) -> Severity:
        by_hand = subject.step is not None and not isinstance(subject.step.undo, AutoUndo)
        if (self.excused and by_hand) or (self.softened and self.softened(subject)):
            return Severity.WARNING
        return self.severity


def listed(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """Join names for a message, at most ``most`` of them."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
