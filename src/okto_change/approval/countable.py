"""Whether a decision that somebody is about to sign could count, and with which key or by whom it would. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from okto_change.approval.matching import proofs
from okto_change.approval.rulebook import WITHOUT, Environment, Person, PersonKey, Policy
from okto_change.errors import NotAuthorised
from okto_change.model import Ballot, Need


def demand_submitter(policy: Policy, environment: Environment, person: str) -> None:
    """Raise NotAuthorised for whoever is in no group that may submit here."""
    if environment.submit and person not in policy.members(environment.submit):
        raise NotAuthorised(
            f"a submission by {person} would not count: {person} is in none of {', '.join(environment.submit)}",
            hint=f"who may: {', '.join(sorted(policy.members(environment.submit))) or 'nobody'}",
        )


def choose(policy: Policy, taken: Ballot, mine: list[Need], person: str, key: PersonKey, now: datetime) -> Need:
    """Return the need that an approval with ``key`` serves best: one still short of people, with the fewest others to ask.

    Raises NotAuthorised where every rule asks for another kind of key, naming those of this person that would count.
    """
    asked = _asked(policy, taken)
    able = [need for need in mine if key.key.is_security_key or not asked.get(need.group)]
    if able:
        return min(able, key=lambda need: (need.met, len(need.candidates)))
    rule = next(iter(asked[mine[0].group].values()))
    raise NotAuthorised(
        f"an approval with the key {key.key.fingerprint} would not count: the rule {rule} asks for a security key",
        hint=_another(policy.people[person], now),
    )


def unproven(policy: Policy, taken: Ballot, role: str, key: PersonKey, proven: tuple[str, ...]) -> str | None:
    """Say what a signature with ``key`` in the group ``role`` ('' for none) lacks to count; None if nothing."""
    if fault := key.lacks(proven):
        return fault
    lacking = {word: rule for word, rule in _asked(policy, taken).get(role, {}).items() if word not in proven}
    return next((f"{WITHOUT[word]}, which the rule {rule} asks for" for word, rule in lacking.items()), None)


def ends_early(key: PersonKey, expires: datetime) -> str | None:
    """Say that what is signed with ``key`` falls away before it would expire, since the key ends; None if not."""
    if key.valid_until is None or key.valid_until >= expires:
        return None
    return f"your key ends at {key.valid_until:%Y-%m-%d %H:%MZ}, and what it signed falls away then"


def _asked(policy: Policy, taken: Ballot) -> Mapping[str, Mapping[str, str]]:
    return proofs(tuple(rule for rule in policy.rules if rule.id in taken.rules))


def _another(person: Person, now: datetime) -> str:
    others = [one.key.fingerprint for one in person.keys if one.key.is_security_key and one.fault(now) is None]
    if others:
        return f"{person.name} has one that would: {' or '.join(others)}; name it with --key FILE"
    return "make one with ssh-keygen -t ed25519-sk and have it enrolled"
