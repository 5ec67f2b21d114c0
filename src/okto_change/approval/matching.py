"""Which rules match a lock. Where the lock does not say enough, a rule matches: unknown never passes. Pure."""

from __future__ import annotations

import posixpath
import re
from functools import cache

from okto_change.approval.rulebook import Environment, Execute, FilesTarget, Policy, Rule
from okto_change.model import ANYTHING, EditStep, Lock, Risk, RowBound, ScriptUndo, SqlStep, Statement, StatementKind

HARMLESS = frozenset({StatementKind.SET, StatementKind.TRANSACTION})
"""kinds of statements that write no rows, whatever they say"""
_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')


def matching(policy: Policy, environment: Environment, lock: Lock, risk: Risk) -> tuple[Rule, ...]:
    """Return every rule of the policy that matches ``lock`` in ``environment`` at this ``risk``."""
    return tuple(rule for rule in policy.rules if _matches(rule, environment, lock, risk))


def needs(rules: tuple[Rule, ...]) -> dict[str, int]:
    """Return how many people of each group the rules ask for together: the maximum for each group."""
    need: dict[str, int] = {}
    for rule in rules:
        for group, people in rule.require.items():
            need[group] = max(people, need.get(group, 0))
    return need


def proofs(rules: tuple[Rule, ...]) -> dict[str, dict[str, str]]:
    """Return what approvals for each group must be signed with (``touch``, ``pin``), and the rule that asks for it."""
    asked: dict[str, dict[str, str]] = {}
    for rule in rules:
        for group in rule.require:
            asked.setdefault(group, {}).update(dict.fromkeys(rule.signed_with, rule.id))
    return asked


def executors(rules: tuple[Rule, ...], environment: Environment) -> tuple[Execute, ...]:
    """Return everything that is asked of whoever runs the change: by the environment, and by each rule."""
    return (environment.execute, *(rule.execute for rule in rules if rule.execute is not None))


def rows_at_most(lock: Lock) -> int | None:
    """Return how many rows the lock allows its statements to write, all together; None where anything is unbounded.

    The bounds are the author's, but a run that exceeds them does not commit. Whatever has no bound may write any number.
    """
    bounds = [bound for step in lock.steps if isinstance(step, SqlStep) for bound in _bounds(step, lock)]
    most = [None if bound is None else bound.maximum for bound in bounds]
    known = [number for number in most if number is not None]
    return sum(known) if len(known) == len(most) else None


def _bounds(step: SqlStep, lock: Lock) -> tuple[RowBound | None, ...]:
    """Return the bound of each statement that may write; a SELECT in a step may call a function that does."""
    kinds = [one.kind for one in lock.statements if one.step == step.name]
    if any(not kind.writes_rows and kind not in HARMLESS for kind in kinds):
        return (None,)
    writing = sum(kind.writes_rows for kind in kinds)
    return step.rows if step.rows is not None and len(step.rows) == writing else (None,) * writing


def _many(least: int, lock: Lock) -> bool:
    most = rows_at_most(lock)
    return most is None or most >= least


def _matches(rule: Rule, environment: Environment, lock: Lock, risk: Risk) -> bool:
    return (
        (not rule.when_env or environment.name in rule.when_env)
        and (not rule.when_risk or risk.value in rule.when_risk)
        and (not rule.when_kind or bool(_kinds(lock) & set(rule.when_kind)))
        and (not rule.when_objects or _touches(rule.when_objects, lock))
        and (not rule.when_paths or _edits(rule.when_paths, environment, lock))
        and (rule.when_rows is None or _many(rule.when_rows, lock))
    )


def _kinds(lock: Lock) -> set[str]:
    """Every kind of statement counts where one was not understood, or where the lock does not list them: in an undo script."""
    kinds = {statement.kind for statement in lock.statements}
    scripts = any(isinstance(step, SqlStep) and isinstance(step.undo, ScriptUndo) for step in lock.steps)
    if scripts or StatementKind.OTHER in kinds:
        kinds = set(StatementKind)
    return {"sql" if isinstance(step, SqlStep) else "edit" for step in lock.steps} | {kind.value for kind in kinds}


def _touches(patterns: tuple[str, ...], lock: Lock) -> bool:
    """Whether the lock may touch an object of these patterns.

    A statement that nobody understood may touch any; so may one without ``touches``, by triggers, cascades and functions.
    """
    if any(statement.kind is StatementKind.OTHER or _anywhere(statement, lock) for statement in lock.statements):
        return True
    if ANYTHING in lock.objects:
        return True
    declared = {name for step in lock.steps if isinstance(step, SqlStep) for name in step.touches or ()}
    return any(_same_object(pattern, name) for pattern in patterns for name in declared.union(lock.objects))


def _anywhere(statement: Statement, lock: Lock) -> bool:
    """Whether nothing holds a statement to the tables that it names: its step declares no ``touches``."""
    steps = (step for step in lock.steps if isinstance(step, SqlStep) and step.name == statement.step)
    return statement.kind not in HARMLESS and any(step.touches is None for step in steps)


def _same_object(pattern: str, name: str) -> bool:
    """Compare from the right: a name without a schema may be in any, a pattern without one means every schema."""
    pairs = zip(reversed(_parts(pattern)), reversed(_parts(name)), strict=False)
    return all(_glob(wanted.casefold()).fullmatch(found.casefold()) for wanted, found in pairs)


def _parts(name: str) -> list[str]:
    """Split a qualified name at its dots, those within double quotes excepted."""
    return [part.strip('"').replace('""', '"') for part in _PART.findall(name)]


def _edits(patterns: tuple[str, ...], environment: Environment, lock: Lock) -> bool:
    return any(
        _glob(pattern).fullmatch(path)
        for step in lock.steps
        if isinstance(step, EditStep)
        for path in _spellings(environment, step)
        for pattern in patterns
    )


def _spellings(environment: Environment, step: EditStep) -> tuple[str, ...]:
    """Return the ways to name an edited file: in its target, after its target's name, and as an absolute path."""
    target = environment.targets.get(step.target)
    root = target.root if isinstance(target, FilesTarget) else None
    file = posixpath.normpath(step.file)
    absolute = (posixpath.normpath(f"{root}/{file}"),) if root else ()
    return (file, f"{step.target}/{file}", *absolute)


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    """Return a pattern of ``*`` (not across ``/``), ``**`` (across it) and ``?`` as a regular expression."""
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.compile("".join(words.get(part) or re.escape(part) for part in parts), re.DOTALL)
