"""Whose signature makes a dry run more than its author's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from okto_change.approval.vouching import NAMESPACE, UNSIGNED, objection, vouch
from okto_change.errors import PlanError
from tests.unit.approval.helpers import (
    ENVIRONMENTS,
    GROUPS,
    MALLORY,
    NOW,
    PEOPLE,
    make_policy,
    parsed,
    people,
    policy_text,
    security_key,
)
from tests.unit.approval.test_clearing import faults, grant

REPORT = b'{"dry_run": "of it"}\n'
BY_CI = ENVIRONMENTS.replace("dry_run: optional", "dry_run: {signers: [ci]}", 1)
POLICY = make_policy(groups=f"{GROUPS}  ci: [eva, ana]\n", environments=BY_CI)
SIGNED = vouch(POLICY, REPORT, PEOPLE["eva"].sign(REPORT, NAMESPACE), NOW, NOW)
EVIDENCE: dict[str, Any] = {"policy": POLICY, "facts_sha256": "f" * 64, "report_sha256": "e" * 64}


def test_a_signature_tells_who_vouches() -> None:
    """By a key of the policy, over exactly these bytes."""
    assert (SIGNED.person, SIGNED.fault) == ("eva", None)


@pytest.mark.parametrize(
    ("armor", "why"),
    [
        (None, "it is not signed"),
        (b"garbage", "its signature does not hold"),
        (PEOPLE["eva"].sign(b"another\n", NAMESPACE), "its signature does not hold"),
        (PEOPLE["eva"].sign(REPORT), "its signature does not hold"),
        (MALLORY.sign(REPORT, NAMESPACE), "unknown key"),
        (PEOPLE["eva"].sign(REPORT, NAMESPACE) + b"\n" * 5000, "its signature does not hold"),
    ],
    ids=["none", "garbage", "of-another", "made-for-decisions", "unknown", "large"],
)
def test_what_is_no_signature_says_why(armor: bytes | None, why: str) -> None:
    """Missing, mangled, of other bytes, for something else, by nobody known."""
    found = vouch(POLICY, REPORT, armor, NOW, NOW)
    assert found.fault is not None
    assert why in found.fault


def test_a_key_must_count_then_and_now() -> None:
    """One that ended, one that began later, one that was revoked, a security key that nobody touched."""
    armor = PEOPLE["eva"].sign(REPORT, NAMESPACE)
    ended = make_policy(who=people(more=", valid_until: 2026-11-22T16:00:00Z"))
    early, late = NOW - timedelta(hours=2), NOW - timedelta(hours=1, minutes=1)
    assert "the key ended" in str(vouch(ended, REPORT, armor, early, NOW).fault)
    assert vouch(ended, REPORT, armor, early, late).fault is None
    later = make_policy(who=people(since="2026-11-22T16:30:00Z"))
    assert "valid only from" in str(vouch(later, REPORT, armor, early, NOW).fault)
    token = security_key()
    touched = make_policy(who=people({name: key.line for name, key in PEOPLE.items()} | {"eva": token.line}))
    assert vouch(touched, REPORT, token.sign(REPORT, NAMESPACE), NOW, NOW).fault is None
    assert "without being touched" in str(
        vouch(touched, REPORT, token.sign(REPORT, NAMESPACE, flags=0), NOW, NOW).fault
    )


def test_only_the_groups_that_the_policy_names_vouch() -> None:
    """Not others, not whoever wrote or submitted the change; where it names none, nobody has to."""
    environment = POLICY.environment("prod")
    nobody: frozenset[str] = frozenset()
    assert objection(POLICY, environment, SIGNED, nobody) is None
    assert "eva, who signed it, wrote or submitted" in str(objection(POLICY, environment, SIGNED, frozenset({"eva"})))
    bruno = vouch(POLICY, REPORT, PEOPLE["bruno"].sign(REPORT, NAMESPACE), NOW, NOW)
    assert "asks for a dry run signed by ci; of the one that is stored, bruno signed it" in str(
        objection(POLICY, environment, bruno, nobody)
    )
    assert "none of this version is stored" in str(objection(POLICY, environment, None, nobody))
    assert objection(POLICY, POLICY.environment("staging"), UNSIGNED, nobody) is None


def test_without_it_nothing_is_cleared() -> None:
    """Nor in an emergency; with it, everything else counts as ever."""
    for voucher in (UNSIGNED, None):
        found = faults(**EVIDENCE, voucher=voucher)
        assert any(line.startswith("step 11 (dry run): prod asks for a dry run signed by ci") for line in found)
    assert not any("step 11" in line for line in faults(**EVIDENCE, voucher=SIGNED))
    assert grant().executor == "bruno"


@pytest.mark.parametrize("odd", ["{signers: []}", "{signers: [nobody]}", "{}", "{signers: [dba], max: 1}"])
def test_the_policy_names_groups_that_there_are(odd: str) -> None:
    """Anything else is a fault of the policy, with its line."""
    with pytest.raises(PlanError):
        parsed(policy_text(environments=ENVIRONMENTS.replace("dry_run: optional", f"dry_run: {odd}", 1)))
