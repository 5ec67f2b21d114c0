"""What in a policy ends soon: the policy itself, and keys without another that goes on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from okto_change.approval.rulebook import Person, Policy

AHEAD = timedelta(days=30)
"""how long before it is told"""


def ending(policy: Policy, now: datetime) -> tuple[str, ...]:
    """Return a line for the policy, and for each person, whose time ends within 30 days or has ended; () for none."""
    return tuple(_lines(policy, now))


def _lines(policy: Policy, now: datetime) -> Iterator[str]:
    if policy.expires is not None and policy.expires <= now + AHEAD:
        yield f"the policy {_when(policy.expires, now)}; write a new version with a later `expires`"
    for person in policy.people.values():
        last = _last(person, now)
        if last is not None and last <= now + AHEAD:
            yield f"the last key of {person.name} {_when(last, now)}; enrol another in a new version of the policy"


def _last(person: Person, now: datetime) -> datetime | None:
    """Return when the last of a person's keys ends that counts now or will; None where one has no end, or none is left."""
    ends = [key.valid_until for key in person.keys if key.revoked is None]
    going = [end for end in ends if end is not None and end > now]
    return max(going) if going and None not in ends else None


def _when(end: datetime, now: datetime) -> str:
    return f"{'expired' if end <= now else 'ends'} at {end:%Y-%m-%d %H:%MZ}"
