"""Files of a change -> plan, analysis and lock for one environment; and the lock that is there compared with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from okto_change import analysis
from okto_change.approval.policy import Environment, Policy
from okto_change.errors import PlanError, Refused
from okto_change.model import (
    Analysis,
    ChangePlan,
    Check,
    EditStep,
    Finding,
    Found,
    Lock,
    Phase,
    Severity,
    SqlStep,
    Step,
)
from okto_change.model.base import record
from okto_change.pipeline.stored import lock_path as lock_path


@record
class Compiled:
    """A change compiled for one environment, from bytes alone: nothing was connected to."""

    plan: ChangePlan
    analysis: Analysis
    lock: Lock
    environment: Environment


def compile_change(policy: Policy, change: str, environment: str, files: Mapping[str, bytes]) -> Compiled:
    """Return the change compiled for ``environment``; the same files and policy give the same bytes.

    Raises PlanError with every fault of the plan and for an unknown target, UsageError for an unknown environment.
    """
    from okto_change.plan import compile as compiling
    from okto_change.plan import read, render

    entry = policy.environment(environment)
    plan = render.render(read.load(change, files), environment)
    demand_targets(plan, entry)
    found = analysis.analyse(plan, None, demand_rows=entry.demand_rows, demand_touches=entry.demand_touches)
    targets = {name: target.entry() for name, target in entry.targets.items() if name in used_targets(plan)}
    lock = compiling.compile_lock(plan, found, files, repo=policy.repo, target_entries=targets)
    return Compiled(plan=plan, analysis=found, lock=lock, environment=entry)


def demand_lock(compiled: Compiled, files: Mapping[str, bytes]) -> Lock:
    """Return the lock if the one that is there is what the sources compile to; raise Refused saying which bytes differ."""
    lock = compiled.lock
    path = lock_path(lock.environment)
    place = f"changes/{lock.change}/{path}"
    command = f"okto-change lock {lock.change} --env {lock.environment}"
    if path not in files:
        raise Refused(
            "the change has no lock for this environment", where=place, hint=f"run `{command}` and commit the file"
        )
    if files[path] != lock.content:
        raise Refused(
            "the lock is not what the sources compile to",
            where=place,
            faults=differences(files[path], lock.content),
            hint=f"run `{command}`, commit, and have the new lock approved",
        )
    return lock


def differences(old: bytes, new: bytes) -> tuple[str, ...]:
    """Say what differs between two locks, in lines for a person."""
    from okto_change.plan import compile as compiling

    try:
        return compiling.explain_difference(old, new)
    except PlanError as error:
        return (f"the lock cannot be read: {error.message}",)


def used_targets(plan: ChangePlan) -> frozenset[str]:
    """Return the targets that steps and checks of the plan name."""
    return frozenset(step.target for step in plan.steps) | frozenset(check.target for check in plan.checks)


def demand_targets(plan: ChangePlan, environment: Environment) -> None:
    """Raise PlanError for every step or check whose target the environment lacks, or has as another kind."""
    faults = []
    sql_targets = {step.target for step in plan.steps if isinstance(step, SqlStep)}
    known_steps = sql_targets <= environment.targets.keys()
    for item in (*plan.steps, *plan.checks):
        target = environment.targets.get(item.target)
        wanted = "files" if isinstance(item, EditStep) else "postgres"
        if target is None:
            known = ", ".join(sorted(environment.targets))
            faults.append(f"{item.where}: target {item.target!r} is not in {environment.name}, which has {known}")
        elif target.kind != wanted:
            faults.append(f"{item.where}: target {item.target!r} is {target.kind}, {item.name!r} needs {wanted}")
        elif known_steps and _needs_transaction(item) and item.target not in sql_targets:
            faults.append(
                f"{item.where}: {item.name!r} runs inside a transaction on {item.target}, but no SQL step has one there"
            )
    if faults:
        raise PlanError(
            f"the plan does not fit environment {environment.name}",
            faults=tuple(faults),
            hint="correct the lines named; the policy on the protected branch says which targets there are",
        )


def demand_author(policy: Policy, plan: ChangePlan, files: Mapping[str, bytes]) -> None:
    """Raise PlanError for an author who is nobody in the policy: four eyes are counted by person."""
    if plan.author not in policy.people:
        from okto_change.plan import read

        raise PlanError(
            f"author {plan.author!r} is nobody in the policy",
            where=read.author_place(plan.change, files),
            faults=(f"people of {policy.file}: {', '.join(sorted(policy.people))}",),
            hint="name the person who wrote the change, as the policy does",
        )


def _needs_transaction(item: Step | Check) -> bool:
    return isinstance(item, Check) and item.phase in (Phase.INSIDE, Phase.INVARIANT)


def analyse_live(compiled: Compiled, found: Mapping[str, Found]) -> Analysis:
    """Return the analysis with the live catalogue of each target, which is the better answer for its steps."""
    parts = [
        analysis.analyse(
            only(compiled.plan, target),
            catalogue,
            demand_rows=compiled.environment.demand_rows,
            demand_touches=compiled.environment.demand_touches,
        )
        for target, catalogue in found.items()
    ]
    if not parts:
        return compiled.analysis
    everything = (compiled.analysis, *parts)
    findings = {(f.code, str(f.where), f.message): f for part in parts for f in part.findings}
    statements = {(s.step, s.index): s for part in parts for s in part.statements}
    return replace(
        compiled.analysis,
        statements=tuple(statements.get((s.step, s.index), s) for s in compiled.analysis.statements),
        findings=tuple(findings.values()),
        risk=max((part.risk for part in everything), key=lambda risk: risk.rank),
        risk_reasons=tuple(dict.fromkeys(reason for part in everything for reason in part.risk_reasons)),
    )


def only(plan: ChangePlan, target: str) -> ChangePlan:
    """Return the plan with the steps and checks of one target."""
    return replace(
        plan,
        steps=tuple(step for step in plan.steps if step.target == target),
        checks=tuple(check for check in plan.checks if check.target == target),
    )


def demand_sound(findings: tuple[Finding, ...], what: str) -> None:
    """Raise Refused if any finding is an error."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise Refused(
            f"{what}: {len(errors)} finding{'s' if len(errors) > 1 else ''} must be mended first",
            faults=tuple(f"{f.where}: {f.code} {f.title}: {f.message}; {f.remedy}" for f in errors),
            hint="mend the change, then lock it again",
        )
