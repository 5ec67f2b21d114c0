"""Commands that run a change, take it back, or end a run that was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from okto_change.cli.face import Face, ask_for, change_argument, command, environment_option, interactive
from okto_change.errors import UsageError

if TYPE_CHECKING:
    from okto_change.model import Outcome, UndoPreview
    from okto_change.pipeline import Emergency, Repository
    from okto_change.report.look import Look

PAGE = (
    "okto_change.report.pages",
    "okto_change.report.text",
    "rich.console",
    "rich.padding",
    "rich.table",
    "rich.text",
)
"""what the page of an outcome is made with"""

yes_option = click.option("--yes", is_flag=True, help="Do not ask, even on a terminal.")


@command("okto-change apply stuck-settlements --env production")
@change_argument
@environment_option
@yes_option
@click.option(
    "--break-glass", is_flag=True, help="Pass the rules, as far as the policy lets you; leaves a review owed."
)
@click.option("--incident", metavar="ID", help="With --break-glass: what it is for, such as INC-42.")
@click.option("--reason", metavar="TEXT", help="With --break-glass: why it cannot wait.")
def apply(
    face: Face, change: str, environment: str, yes: bool, break_glass: bool, incident: str | None, reason: str | None
) -> int:
    """Run an approved change."""
    from okto_change import pipeline

    emergency = _emergency(break_glass, incident, reason)
    if emergency is not None and not yes:
        _ask_to_break(face, change, environment)
    elif not yes and interactive():
        _ask_to_apply(face, change, environment)
    repository = face.repository("running")
    with face.watching(None if face.json else lambda: repository.prepare_apart(PAGE)) as watch:
        outcome = pipeline.apply(repository, change, environment, watch=watch, emergency=emergency)
    return _end(face, outcome, repository=repository)


def _emergency(break_glass: bool, incident: str | None, reason: str | None) -> Emergency | None:
    from okto_change import pipeline

    if not break_glass:
        if incident or reason:
            raise UsageError("--incident and --reason belong to --break-glass", hint="okto-change apply --help")
        return None
    if not incident or not reason:
        raise UsageError(
            "breaking the glass needs --incident and --reason", hint="say what it is for and why it cannot wait"
        )
    return pipeline.Emergency(incident=incident, reason=reason)


def _ask_to_break(face: Face, change: str, environment: str) -> None:
    from okto_change import pipeline
    from okto_change.report import text

    if not interactive():
        raise UsageError("there is no terminal to ask on", hint="say --yes")
    ballot = pipeline.approvals(face.repository(), change, environment, to_run=True)
    face.say(text.ballot, ballot)
    ask_for(ballot.change, f"Break the glass of {environment} for this? Somebody else must review it afterwards.")


def _ask_to_apply(face: Face, change: str, environment: str) -> None:
    from okto_change import pipeline
    from okto_change.report import text

    ballot = pipeline.approvals(face.repository(), change, environment, to_run=True)
    # Without clearance there is nothing to confirm: apply refuses, and names each reason.
    if ballot.cleared:
        face.say(text.ballot, ballot)
        ask_for(ballot.change, f"Apply this to {environment}?")


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Do all of it, show and compare, roll it back; nothing changes."
)


@command("okto-change rollback stuck-settlements --env production --dry-run")
@change_argument
@environment_option
@click.option(
    "--only-clean",
    is_flag=True,
    help="Undo the rows that nobody changed since; leave and name the others. A later rollback takes those back, "
    "once what stands in their way is gone.",
)
@dry_run_option
@yes_option
def rollback(face: Face, change: str, environment: str, only_clean: bool, dry_run: bool, yes: bool) -> int:
    """Take an applied change back.

    On a terminal it shows first what comes back and what stands in the way, and asks.
    """
    from okto_change import pipeline

    if dry_run or (not yes and interactive()):
        found = pipeline.rollback_preview(face.repository(), change, environment)
        if (code := _foreseen(face, found, dry_run=dry_run, only_clean=only_clean)) is not None:
            return code
    with face.watching() as watch:
        outcome = pipeline.rollback(face.repository(), change, environment, only_clean=only_clean, watch=watch)
    return _end(face, outcome, undo=True)


@command("okto-change redo stuck-settlements --env production --dry-run")
@change_argument
@environment_option
@dry_run_option
@yes_option
def redo(face: Face, change: str, environment: str, dry_run: bool, yes: bool) -> int:
    """Put a change back that was rolled back."""
    from okto_change import pipeline

    if dry_run or (not yes and interactive()):
        found = pipeline.redo_preview(face.repository(), change, environment)
        if (code := _foreseen(face, found, dry_run=dry_run)) is not None:
            return code
    with face.watching() as watch:
        outcome = pipeline.redo(face.repository(), change, environment, watch=watch)
    return _end(face, outcome)


def _foreseen(face: Face, found: UndoPreview | Outcome, *, dry_run: bool, only_clean: bool = False) -> int | None:
    """Show what an undo or redo would do, and ask; return the exit code where the command ends with that."""
    from okto_change.model import Outcome
    from okto_change.report import data, text, verdict

    if isinstance(found, Outcome):
        return _end(face, found, undo=True)
    if dry_run:
        face.emit(found, text.undo_preview, data.undo_preview)
        return verdict.preview_code(found)
    if not found.conflicts or only_clean:
        # With conflicts nothing would be changed: the command says so itself, and there is nothing to confirm.
        face.say(text.undo_ballot, found)
        ask_for(found.change, f"{'Put this back' if found.redo else 'Take this back'} in {found.environment}?")
    return None


@command("okto-change resume 20261122-021409-7f3a9c04")
@click.argument("run")
def resume(face: Face, run: str) -> int:
    """Go on with a paused run, or end one that broke off."""
    from okto_change import pipeline

    with face.watching() as watch:
        outcome = pipeline.resume(face.repository(), run, watch=watch)
    return _end(face, outcome)


def _end(face: Face, outcome: Outcome, *, undo: bool = False, repository: Repository | None = None) -> int:
    """Show how a run ended; the page is laid out by the process beside, where ``repository`` has one."""
    from okto_change.report import pages, verdict

    def page(result: Outcome, look: Look) -> str:
        return pages.outcome(result, look) if repository is None else repository.apart(pages.outcome, result, look)

    def record(result: Outcome) -> dict[str, Any]:
        from okto_change.report import data

        return data.outcome(result)

    face.emit(outcome, page, record)
    return verdict.outcome_code(outcome, undo=undo)
