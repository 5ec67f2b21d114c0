"""Two versions of a policy -> what changed, in lines for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from okto_change.approval.rulebook import Environment, Execute, Person, PersonKey, Policy, Rule

_SCALARS = ("version", "repo", "protected_ref", "approvals_refs", "expires", "policy_quorum")


def describe_change(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return a line for each difference between two policies; none if they say the same."""
    return tuple(_lines(old, new))


def _lines(old: Policy, new: Policy) -> Iterator[str]:
    for name in _SCALARS:
        yield from _changed(name, getattr(old, name), getattr(new, name))
    yield from _people(old.people, new.people)
    yield from _groups(old.groups, new.groups)
    for name, before, after in _pairs(old.environments, new.environments):
        yield from _parts(f"environment {name}", before, after)
    for name, before, after in _pairs({r.id: r for r in old.rules}, {r.id: r for r in new.rules}):
        yield from _parts(f"rule {name}", before, after)


def _people(old: Mapping[str, Person], new: Mapping[str, Person]) -> Iterator[str]:
    for name, before, after in _pairs(old, new):
        if before is None or after is None:
            yield _presence(f"person {name}", after)
            continue
        yield from _changed(f"person {name}: emails", before.emails, after.emails)
        keys = _pairs({k.key.fingerprint: k for k in before.keys}, {k.key.fingerprint: k for k in after.keys})
        for fingerprint, was, now in keys:
            yield from _parts(f"person {name}: key {fingerprint}", was, now)


def _groups(old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, before, after in _pairs(old, new):
        if before is None or after is None:
            yield _presence(f"group {name}", after)
            continue
        joined, left = set(after) - set(before), set(before) - set(after)
        parts = [f"{' and '.join(sorted(who))} {word}" for who, word in ((joined, "joined"), (left, "left")) if who]
        yield from (f"group {name}: {part}" for part in parts)


def _parts(
    what: str, before: Environment | Rule | PersonKey | None, after: Environment | Rule | PersonKey | None
) -> Iterator[str]:
    if before is None or after is None:
        yield _presence(what, after)
        return
    for field in fields(before):
        yield from _changed(f"{what}: {field.name}", getattr(before, field.name), getattr(after, field.name))


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _presence(what: str, after: object | None) -> str:
    return f"{what}: {'removed' if after is None else 'added'}"


def _changed(what: str, before: Any, after: Any) -> Iterator[str]:
    if before != after:
        yield f"{what}: {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case _ if value in ((), {}):
            return "none"
        case tuple():
            return ", ".join(map(str, value))
        case Execute():
            people = ", ".join(value.groups) or "anybody"
            return f"{people} (author {value.may_be_author}, approver {value.may_be_approver})"
        case Mapping():
            return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
        case _:
            return str(value.entry() if hasattr(value, "entry") else value)
