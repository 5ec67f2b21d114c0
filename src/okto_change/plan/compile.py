"""A rendered plan and its analysis to the Lock, and a lock's bytes back. Pure: equal sources give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okto_change import digest
from okto_change.errors import PlanError
from okto_change.model import Analysis, ChangePlan, Lock, Risk
from okto_change.plan import folder, lockfile, lockreader
from okto_change.plan.differences import explain_difference
from okto_change.strictyaml import Faults, suggestion

MOST_LOCK = 64 * 1024 * 1024


def compile_lock(
    plan: ChangePlan,
    analysis: Analysis,
    files: Mapping[str, bytes],
    *,
    repo: str,
    target_entries: Mapping[str, Mapping[str, Any]],
) -> Lock:
    """Return the lock of a rendered plan, exactly as ``parse_lock`` reads it.

    ``files`` are those of the change's folder, by path; ``target_entries`` says what each target is, from the policy.
    Previews are not part of a lock. Raises PlanError for targets that the policy does not know.
    """
    from okto_change.plan.render import shown  # reading a lock needs no templates

    if plan.environment is None:
        raise ValueError("the plan was not rendered")
    risk, reasons = _risk(plan, analysis)
    draft = Lock(
        content=b"",
        digest="",
        repo=repo,
        change=plan.change,
        environment=plan.environment,
        title=plan.title,
        author=plan.author,
        steps=plan.steps,
        statements=analysis.statements,
        checks=plan.checks,
        risk=risk,
        risk_reasons=reasons,
        objects=analysis.objects,
        reason=plan.reason,
        incident=plan.incident,
        targets=_targets(plan, target_entries),
        parameters={parameter.name: shown(parameter) for parameter in plan.parameters},
        sources=folder.manifest(files),
    )
    try:
        return parse_lock(digest.canonical(lockfile.encode(draft)))
    except ValueError as error:
        raise PlanError(f"the plan cannot be locked: {error}", where=f"changes/{plan.change}") from error


def parse_lock(content: bytes) -> Lock:
    """Return the lock that ``content`` is. Raises PlanError unless it is canonical, complete, and of this format."""
    try:
        if len(content) > MOST_LOCK:
            raise ValueError(f"it has more than {MOST_LOCK} bytes")
        document = digest.parse(content)
        head = lockreader.Fields(document, "the lock")
        if (head.any("_type"), head.any("format")) != (lockfile.TYPE, lockfile.FORMAT):
            raise ValueError(f"it is of format {head.any('format')!r}, this version reads {lockfile.FORMAT}")
        lock = lockreader.decode(document, content, digest.sha256(content))
        if digest.canonical(lockfile.encode(lock)) != content:
            raise ValueError("it says more than a lock does, or its digests do not fit")
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        hint = "write it again with: okto-change lock CHANGE --env ENVIRONMENT"
        raise PlanError(f"this is no lock: {error}", hint=hint) from error
    return lock


def _risk(plan: ChangePlan, analysis: Analysis) -> tuple[Risk, tuple[str, ...]]:
    if plan.risk is None or plan.risk.rank <= analysis.risk.rank:
        return analysis.risk, analysis.risk_reasons
    return plan.risk, (*analysis.risk_reasons, f"the plan says {plan.risk.value}")


def _targets(plan: ChangePlan, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    faults = Faults()
    found: dict[str, Mapping[str, Any]] = {}
    for item in (*plan.steps, *plan.checks):
        if item.target in entries:
            found[item.target] = entries[item.target]
        else:
            known = ", ".join(sorted(entries)) or "none"
            near = suggestion(item.target, entries)
            faults.add(item.where, f"{plan.environment} has no target '{item.target}'{near}; it has: {known}")
    faults.stop(f"the plan of '{plan.change}' for {plan.environment}", "name targets that the policy lists")
    return found


__all__ = ["compile_lock", "explain_difference", "parse_lock"]
