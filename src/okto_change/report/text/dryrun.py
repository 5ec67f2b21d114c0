"""The page of a dry run: what will happen, to which rows, what proves it, and whether it is ready."""

from __future__ import annotations

from okto_change.model import (
    DryRun,
    DryRunMade,
    LockTaken,
    Rehearsal,
    Statement,
    StatementPreview,
    StatementResult,
)
from okto_change.report import batches, units
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Look, Page
from okto_change.report.text import parts
from okto_change.report.text.rows import add_rows, add_samples
from okto_change.report.verdict import irreversible, objections

LINES_OF_A_STATEMENT = 40
STRONG_LOCKS = frozenset(["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"])


def dry_run(result: DryRun, look: Look, *, whole: bool = False) -> str:
    """Return the page of ``result``; long statements are cut unless ``whole``."""
    page = Page()
    _head(page, result)
    parts.add_risk(page, result.risk, result.risk_reasons)
    parts.add_findings(page, result.findings)
    for number, step in enumerate(_step_names(result), 1):
        _step(page, result, number, step, None if whole else LINES_OF_A_STATEMENT)
    if result.rehearsal is None:
        page.heading("NOT REHEARSED  ", ("row counts are estimates, and nothing proves that the undo works", CARE))
    else:
        _rehearsal(page, result, result.rehearsal)
    if result.copies:
        page.heading("UNMASKED COPIES that the run will leave")
        page.bullets(result.copies)
    page.heading("PLAN DIGEST  ", (result.digest, ""))
    return page.render(look)


def dry_run_made(made: DryRunMade, look: Look) -> str:
    """Return the page of a dry run that was just stored, and whether anybody vouches for it."""
    page = Page()
    if made.signed_by is not None:
        page.line(("signed", GOOD), f" by {made.signed_by}; commit {' and '.join(made.paths)}")
    elif made.unsigned:
        page.line(("not signed", BAD), f", and this environment asks for it: {made.unsigned}")
    said = page.render(look)
    return dry_run(made.dry_run, look) + (f"\n{said}" if said.strip() else "")


def _head(page: Page, result: DryRun) -> None:
    how = "static preview, read-only" if result.rehearsal is None else "rehearsed and rolled back"
    parts.add_place(page, result.change, result.environment, before="DRY RUN")
    page.line((result.title, STRONG))
    page.line((f"{units.moment(result.at)} · {how}", DIM))
    page.gap()
    reasons = objections(result)
    if reasons:
        page.line(("NOT READY:", BAD))
        page.bullets(reasons, style=BAD)
        return
    if result.rehearsal is None:
        page.line(("no objection", CARE), " · not rehearsed")
    else:
        page.line(("ready", GOOD), f" · {parts.written(result.rehearsal.writes)} · {result.rehearsal.undo}")
    page.bullets((f"cannot be undone: {line}" for line in irreversible(result)), style=CARE)


def _step_names(result: DryRun) -> list[str]:
    names = [step.name for step in result.steps]
    return names or list(dict.fromkeys([*(s.step for s in result.statements), *(e.step for e in result.edits)]))


def _step(page: Page, result: DryRun, number: int, name: str, most: int | None) -> None:
    step = next((step for step in result.steps if step.name == name), None)
    page.heading(f"STEP {number}  {name}", *([] if step is None else [(" → ", DIM), (step.target, "")]))
    if step is not None:
        page.facts(parts.step_terms(step))
    statements = [statement for statement in result.statements if statement.step == name]
    for place, statement in enumerate(statements, 1):
        page.gap()
        _statement(page, result, statement, f"{number}.{place}", most)
    for edit in (edit for edit in result.edits if edit.step == name):
        page.gap()
        parts.add_edit(page, edit)


def _statement(page: Page, result: DryRun, statement: Statement, number: str, most: int | None) -> None:
    ran = _ran(result.rehearsal, statement)
    preview = next((p for p in result.previews if (p.step, p.index) == (statement.step, statement.index)), None)
    parts.add_statement(page, statement, number, _figure(ran, preview), most=most)
    if ran is not None and ran.locks:
        page.facts([("locks", lock_words(ran.locks))], indent=4)
    if preview is not None:
        _preview(page, preview, rehearsed=result.rehearsal is not None)


def _figure(ran: StatementResult | None, preview: StatementPreview | None) -> str:
    if ran is not None:
        counted = "" if ran.rows is None else f"{units.plural(ran.rows, 'row')} (rehearsed) · "
        return counted + units.duration(ran.milliseconds)
    return "" if preview is None else units.rows(preview.count)


def _preview(page: Page, preview: StatementPreview, *, rehearsed: bool) -> None:
    if preview.note:
        page.facts([("note", preview.note)], indent=4)
    if preview.rows and not rehearsed:
        add_rows(page, preview.rows, indent=4)


def lock_words(locks: tuple[LockTaken, ...]) -> str:
    """Return the relation locks of a statement: ``RowExclusiveLock on settlements, settlements_pkey; ...``."""
    modes: dict[str, list[str]] = {}
    for lock in locks:
        modes.setdefault(lock.mode, []).append(lock.relation)
    return "; ".join(
        f"{mode} on {', '.join(relations)}" + (" — blocks writers" if mode in STRONG_LOCKS else "")
        for mode, relations in modes.items()
    )


def _ran(rehearsal: Rehearsal | None, statement: Statement) -> StatementResult | None:
    done = () if rehearsal is None else rehearsal.statements
    return next((ran for ran in done if (ran.step, ran.index) == (statement.step, statement.index)), None)


def _rehearsal(page: Page, result: DryRun, rehearsal: Rehearsal) -> None:
    if rehearsal.failure is not None:
        page.heading("REHEARSAL FAILED  ", (rehearsal.failure, BAD))
    parts.add_writes(page, rehearsal.writes)
    add_samples(page, rehearsal)
    parts.add_checks(page, rehearsal.checks)
    page.heading("UNDO  ", (str(rehearsal.undo), GOOD if rehearsal.undo.proven else BAD))
    for inverse in rehearsal.inverses:
        page.heading("INVERSE  ", (f"what a rollback of {inverse.steps} runs on {inverse.target}", ""))
        page.listing("\n".join(f"{statement};" for statement in inverse.statements))
    took = f"{units.moment(rehearsal.at)}, took {units.duration(rehearsal.milliseconds)}; everything was rolled back"
    page.heading("REHEARSED  ", (took, ""))
    for seen in rehearsal.batches:
        page.line(batches.expected(seen), indent=2)
    for captured in rehearsal.captures:
        page.line(f"Images by {captured}", indent=2)
    if rehearsal.statements:
        page.line(units.held(rehearsal), indent=2)
    if rehearsal.left_behind:
        page.line("What a rolled-back rehearsal leaves behind:", indent=2)
        page.bullets(rehearsal.left_behind)
