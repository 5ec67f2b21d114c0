"""Pages for the one who writes a change: files written, findings, the lock, a change as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.model import ChangeView, Check, CheckReport, EditStep, LockWritten, NewChange, Where
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Cell, Look, Page
from okto_change.report.text import parts
from okto_change.report.text.board import standing
from okto_change.report.verdict import findings_code


def init(paths: Sequence[str], look: Look) -> str:
    """Return the files that make a folder a change repository, and what to do with them."""
    page = Page()
    page.line(("a change repository", GOOD))
    page.bullets(paths)
    page.line(
        ("next  ", DIM), 'edit the policy, commit it, push it to main, then: okto-change new "What this change does"'
    )
    page.line(("then  ", DIM), "once it is pushed, pin it on every machine: okto-change trust init")
    return page.render(look)


def new(written: NewChange, look: Look) -> str:
    """Return the new change's id and files."""
    page = Page()
    page.line((written.change, STRONG))
    page.bullets(written.paths)
    page.line(("next  ", DIM), f"edit these, then: okto-change check {written.change}")
    return page.render(look)


def check(report: CheckReport, look: Look) -> str:
    """Return what analysis says of a plan: findings, risk, statements."""
    page = Page()
    plan, analysis = report.plan, report.analysis
    places = ", ".join(report.environments)
    page.line((plan.change, STRONG), *([(" → ", DIM), (places, STRONG)] if places else []))
    page.line((plan.title, STRONG))
    parts.add_findings(page, analysis.findings)
    _add_unnamed(page, report.unnamed)
    parts.add_risk(page, analysis.risk, analysis.risk_reasons)
    page.heading("STATEMENTS")
    rows: list[list[Cell]] = [
        [s.step, s.kind.value.upper(), ", ".join(s.writes or s.reads), (_short(s.where, plan.change), DIM)]
        for s in analysis.statements
    ]
    page.columns(rows or [[("none", DIM)]])
    page.gap()
    stopped = findings_code(analysis.findings) != 0
    page.line(("an error above stops this change", BAD) if stopped else ("nothing stops this change", GOOD))
    return page.render(look)


def _add_unnamed(page: Page, files: Sequence[str]) -> None:
    if files:
        page.heading("NOT IN THE PLAN  ", ("plan.yaml names these files nowhere, so nothing runs them", CARE))
        page.bullets(files, style=CARE)
        page.line("name each in a step (`sql`, `undo`) or a check (`sql`), or delete it", indent=2)


def lock(written: LockWritten, look: Look) -> str:
    """Return where the lock stands, its digest, and what moved since the one before."""
    page = Page()
    parts.add_place(page, written.lock.change, written.lock.environment)
    page.line(("written  ", GOOD) if written.changed else ("unchanged  ", DIM), written.path)
    page.line(("digest  ", DIM), written.lock.digest)
    page.bullets(written.differences)
    if written.changed:
        page.line(("next  ", DIM), "commit it; decisions on an earlier digest no longer count")
    return page.render(look)


def show(view: ChangeView, look: Look) -> str:
    """Return a change as a whole: its plan as written, who gives no answer, and where it stands."""
    page = Page()
    plan = view.plan
    page.line((plan.change, STRONG))
    page.line((plan.title, STRONG))
    page.facts([("reason", plan.reason), ("incident", plan.incident), ("author", plan.author), ("folder", view.path)])
    for number, step in enumerate(plan.steps, 1):
        page.heading(f"STEP {number}  {step.name}", (" → ", DIM), (step.target, ""))
        page.facts(parts.step_terms(step))
        if isinstance(step, EditStep):
            parts.add_settings(page, step)
        else:
            page.listing(step.sql)
    if plan.checks:
        page.heading("CHECKS")
        page.columns([_check(check) for check in plan.checks])
    return "\n".join([page.render(look), standing(view.statuses, look, view.silent)])


def _short(where: Where, change: str) -> str:
    return str(where).removeprefix(f"changes/{change}/")


def _check(check: Check) -> list[Cell]:
    return [(check.phase.value, DIM), check.name, (check.target, DIM), check.source]
