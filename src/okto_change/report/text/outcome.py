"""Pages about runs and what is left of them: an outcome, where changes stand, the journal, the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from okto_change.model import AuditReport, Diagnosis, Entry, Outcome, Result, UndoPreview
from okto_change.report import units
from okto_change.report.look import BAD, CARE, DIM, GOOD, Cell, Look, Page
from okto_change.report.text import parts
from okto_change.report.text.rows import add_changes

RESULT_STYLE = {
    Result.DONE: GOOD,
    Result.ALREADY_APPLIED: GOOD,
    Result.NOTHING_TO_UNDO: GOOD,
    Result.NOTHING_TO_REDO: GOOD,
    Result.UNDONE: CARE,
}

SHORT = 60
DATA_SHOWN = 5
"""Facts of a journal entry that its line shows; `--json` gives all."""


def outcome(result: Outcome, look: Look) -> str:
    """Return how a run ended: what happened, conflicts, rows written, checks, state of things, what to do next."""
    page = Page()
    page.line((result.result.value.upper(), RESULT_STYLE.get(result.result, BAD)), f"  {result.summary}")
    if result.conflicts:
        page.heading("CONFLICTS" if result.result is Result.CONFLICT else "REASONS")
        page.bullets(result.conflicts, style=BAD)
    if result.writes:
        parts.add_writes(page, result.writes)
    if result.checks:
        parts.add_checks(page, result.checks)
    if result.notes:
        page.heading("TO KNOW")
        page.bullets(result.notes, style=CARE)
    page.gap()
    page.facts([("run", result.run), ("state", result.state), ("next", result.hint)], indent=0)
    return page.render(look)


def undo_ballot(found: UndoPreview, look: Look) -> str:
    """Return what an undo or a redo would do, for whoever is asked next whether to do it."""
    return undo_preview(found, look, asked=True)


def undo_preview(found: UndoPreview, look: Look, *, asked: bool = False) -> str:
    """Return what an undo or a redo would do: rows by table, files, conflicts, checks; and that nothing was changed.

    What to run next is said where nobody is ``asked``.
    """
    page = Page()
    parts.add_place(page, found.change, found.environment, before="REDO" if found.redo else "ROLLBACK")
    rows = f"{parts.written(found.writes)}{', ' + units.plural(len(found.edits), 'file') if found.edits else ''}"
    what = "puts back" if found.redo else "takes back"
    page.facts([("what", f"{what} run {found.run}: {', '.join(found.steps)}"), ("comes back", rows)])
    add_changes(page, found.writes, found.rows)
    for file, diff in found.edits:
        page.heading(f"FILE {file}")
        page.diff(diff)
    if found.conflicts:
        page.heading("CONFLICTS  ", ("others changed these since; nothing of theirs is overwritten", BAD))
        page.bullets(found.conflicts, style=BAD)
    if found.checks:
        parts.add_checks(page, found.checks)
    if found.notes:
        page.heading("TO KNOW")
        page.bullets(found.notes, style=CARE)
    page.gap()
    page.facts(
        [("state", "tried and rolled back; nothing was changed"), ("next", None if asked else _after_preview(found))],
        indent=0,
    )
    return page.render(look)


def _after_preview(found: UndoPreview) -> str:
    place = f"{found.change} --env {found.environment}"
    if not found.conflicts:
        return f"okto-change {'redo' if found.redo else 'rollback'} {place}"
    rest = "" if found.redo else f"; take back the rest with: okto-change rollback {place} --only-clean"
    return f"what somebody wrote since stays theirs, and a new change puts it right{rest}"


def log(entries: Sequence[Entry], look: Look) -> str:
    """Return the journal, a section a run and a line an entry: number, time, who, what."""
    page = Page()
    for run, group in groupby(entries, lambda entry: (entry.event.change, entry.event.environment, entry.event.run)):
        parts.add_place(page, run[0], run[1], after=f" run {run[2]}")
        page.columns([_entry(entry) for entry in group], indent=0)
        page.gap()
    page.line((f"{len(entries):,} {'entry' if len(entries) == 1 else 'entries'}", DIM))
    return page.render(look)


def _entry(entry: Entry) -> list[Cell]:
    event, who = entry.event, ("person", entry.actor)
    plain = {name: _said(value) for name, value in event.data.items() if isinstance(value, str | int)}
    facts = [f"{name}={text}" for name, text in plain.items() if len(text) < SHORT and (name, text) != who]
    about = [*([event.step] if event.step else []), *facts[:DATA_SHOWN]]
    return [(str(entry.number), DIM), units.moment(entry.at), entry.actor, event.kind.value, (" · ".join(about), DIM)]


def _said(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def audit(report: AuditReport, look: Look) -> str:
    """Return whether the journal's chain holds, or every problem."""
    page = Page()
    entries = f"{report.entries:,} {'entry' if report.entries == 1 else 'entries'}"
    if report.problems:
        page.line(("JOURNAL BROKEN", BAD), f"  {report.environment}, {entries}")
        page.bullets(report.problems, style=BAD)
        page.line("stop changing things in this environment; keep the database as it is for whoever examines it")
    elif not report.entries:
        page.line(("nothing to verify yet", GOOD), f"  {report.environment}: nothing ever ran here")
    else:
        page.line(
            ("the chain holds", GOOD), f"  {report.environment}, {entries}: none changed, missing, moved or inserted"
        )
    page.bullets(report.notes, style=CARE)
    if report.head:
        page.line(("head  ", DIM), report.head, indent=2)
    if report.head and not report.problems:
        page.line(("keep it where the journal's owner is not, for `audit verify --head` later", DIM), indent=2)
    return page.render(look)


def doctor(found: Sequence[Diagnosis], look: Look) -> str:
    """Return what was looked at, a line each, with what to do where it is not well."""
    page = Page()
    rows: list[list[Cell]] = []
    for diagnosis in found:
        rows.append([("ok", GOOD) if diagnosis.ok else ("FAIL", BAD), diagnosis.name, diagnosis.message])
        if diagnosis.hint and not diagnosis.ok:
            rows.append(["", ("next", DIM), diagnosis.hint])
    page.columns(rows, indent=0)
    return page.render(look)
