"""What a policy means for people: who could approve what, before a change of it and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.approval.matching import needs
from okto_change.approval.rulebook import Environment, Policy, Rule
from okto_change.model import Risk


def describe_effect(old: Policy | None, new: Policy) -> tuple[str, ...]:
    """Return a line for each kind of change whose approval, submission or execution would change; all without ``old``."""
    before, after = powers(old) if old else {}, powers(new)
    lines = []
    for situation in dict.fromkeys([*before, *after]):
        was, will = before.get(situation), after.get(situation)
        if was == will:
            continue
        lines.append(
            f"{situation}: {will}" if was is None else f"{situation}: {was} -> {will or 'no such thing any more'}"
        )
    return tuple(lines)


def powers(policy: Policy) -> dict[str, str]:
    """Return for each kind of change who must approve it, and for each environment who may submit and run."""
    found = {}
    for environment in policy.environments.values():
        for label, rules in _situations(policy, environment):
            found[f"{environment.name}, {label}"] = _approvers(policy, rules)
        found[f"{environment.name}, submitted by"] = _people(policy, environment.submit)
        found[f"{environment.name}, run by"] = _people(policy, environment.execute.groups)
    return found


def dead_ends(policy: Policy) -> tuple[str, ...]:
    """Say what could never be approved under a policy, or not if one of its people is the author."""
    return tuple(dict.fromkeys(line for entry in policy.environments.values() for line in _dead_ends(policy, entry)))


def _situations(policy: Policy, environment: Environment) -> Iterator[tuple[str, tuple[Rule, ...]]]:
    """Yield each risk with the rules that match any change of it, then each rule for something special with those."""
    here = [rule for rule in policy.rules if not rule.when_env or environment.name in rule.when_env]
    for risk in Risk:
        mine = [rule for rule in here if not rule.when_risk or risk.value in rule.when_risk]
        general = [rule for rule in mine if not _special(rule)]
        yield f"{risk.value} risk", tuple(general)
        for rule in mine:
            if _special(rule):
                yield f"{risk.value} risk, {_special(rule)}", (*general, rule)


def _special(rule: Rule) -> str:
    return ", ".join((*rule.when_objects, *rule.when_paths, *rule.when_kind))


def _approvers(policy: Policy, rules: tuple[Rule, ...]) -> str:
    if not rules:
        return "cannot run: no rule matches"
    need = needs(rules)
    parts = [f"{people} of {group} ({', '.join(policy.groups[group])})" for group, people in need.items()]
    return " and ".join(parts) or "needs nobody"


def _people(policy: Policy, groups: tuple[str, ...]) -> str:
    return ", ".join(sorted(policy.members(groups))) if groups else "anybody known"


def _dead_ends(policy: Policy, environment: Environment) -> Iterator[str]:
    authors = policy.members(environment.submit) if environment.submit else frozenset(policy.people)
    for label, rules in _situations(policy, environment):
        place = f"{environment.name}, {label}"
        need = needs(rules)
        if not _enough(policy, need, frozenset()):
            yield f"{place}: nobody can approve it, there are too few people in {', '.join(need)}"
            continue
        stuck = sorted(author for author in authors if not _enough(policy, need, frozenset([author])))
        if stuck and need:
            yield f"{place}: what {' or '.join(stuck)} wrote cannot be approved, too few others are in {', '.join(need)}"


def _enough(policy: Policy, need: dict[str, int], without: frozenset[str]) -> bool:
    """Whether distinct people can fill every need (a matching of seats and people)."""
    seats = [set(policy.groups[group]) - without for group, people in need.items() for _ in range(people)]
    taken: dict[str, int] = {}

    def seat(number: int, tried: set[str]) -> bool:
        for person in seats[number] - tried:
            tried.add(person)
            if person not in taken or seat(taken[person], tried):
                taken[person] = number
                return True
        return False

    return all(seat(number, set()) for number in range(len(seats)))
