"""The policy: what it says, whether it clears a change, how it changed. The door to the pure part of ``approval``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from okto_change.approval.clearing import (
    clear,
    demand_cleared,
    demand_executor,
    missing,
    refusals,
    role,
    settled_by_submitting,
)
from okto_change.approval.clearing import take_ballot as ballot
from okto_change.approval.comparing import describe_change
from okto_change.approval.countable import demand_submitter, ends_early, unproven
from okto_change.approval.decisions import Decision, DecisionFile, examine
from okto_change.approval.rulebook import (
    Environment,
    Execute,
    FilesTarget,
    Person,
    PersonKey,
    Policy,
    PostgresTarget,
    Rule,
    Target,
)
from okto_change.approval.template import template
from okto_change.approval.vouching import Voucher, objection, vouch
from okto_change.model.clearance import Clearance

if TYPE_CHECKING:
    from okto_change.approval.schema import read

__all__ = [
    "Clearance",
    "Decision",
    "DecisionFile",
    "Environment",
    "Execute",
    "FilesTarget",
    "Person",
    "PersonKey",
    "Policy",
    "PostgresTarget",
    "Rule",
    "Target",
    "Voucher",
    "ballot",
    "clear",
    "demand_cleared",
    "demand_executor",
    "demand_submitter",
    "describe_change",
    "ends_early",
    "examine",
    "missing",
    "objection",
    "read",
    "refusals",
    "role",
    "settled_by_submitting",
    "template",
    "unproven",
    "vouch",
]


def __getattr__(name: str) -> Any:
    """Import what reads policies, and with it the YAML reader, when it is asked for."""
    if name == "read":
        from okto_change.approval.schema import read

        return read
    raise AttributeError(name)
