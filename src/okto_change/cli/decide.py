"""Commands that sign a decision, and the one that shows them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from okto_change.cli.boundary import Interrupted
from okto_change.cli.face import Face, ask_for, change_argument, command, environment_option, interactive
from okto_change.errors import NotAuthorised, UsageError

if TYPE_CHECKING:
    from okto_change.model import DecisionRequest, ReviewDebt
    from okto_change.report.look import Look

T = TypeVar("T")

comment_option = click.option("-m", "--comment", metavar="TEXT", default="", help="Why, for whoever reads it later.")
yes_option = click.option("--yes", metavar="CHANGE-ID", help="The change's whole id, for scripts: sign without asking.")


@command('okto-change submit stuck-settlements --env production -m "rehearsed twice"')
@change_argument
@environment_option
@comment_option
@yes_option
def submit(face: Face, change: str, environment: str, comment: str, yes: str | None) -> None:
    """Sign a locked change as its author."""
    _decide(face, change, environment, "submit", comment, yes)


@command("okto-change approve stuck-settlements --env production --key ~/.ssh/approvals_sk")
@change_argument
@environment_option
@comment_option
@yes_option
def approve(face: Face, change: str, environment: str, comment: str, yes: str | None) -> None:
    """Read what will run, and sign it."""
    if yes is None and not interactive():
        raise UsageError("there is no terminal to ask on", hint="say which change you have read: --yes CHANGE-ID")
    _decide(face, change, environment, "approve", comment, yes)


@command('okto-change reject stuck-settlements --env production -m "the window is too wide"')
@change_argument
@environment_option
@click.option("-m", "--comment", metavar="TEXT", required=True, help="Why it must not run.")
@yes_option
def reject(face: Face, change: str, environment: str, comment: str, yes: str | None) -> None:
    """Sign that a change must not run."""
    _decide(face, change, environment, "reject", comment, yes)


@command("okto-change revoke stuck-settlements --env production")
@change_argument
@environment_option
@click.option("-m", "--comment", metavar="TEXT", default="", help="Why.")
@click.option("--of", metavar="PERSON", default="", help="What somebody else signed: for the groups that may.")
@yes_option
def revoke(face: Face, change: str, environment: str, comment: str, of: str, yes: str | None) -> None:
    """Take back what was signed.

    Your own decisions on this version of the change; approving again later gives them back. With --of PERSON, for
    security: whatever that person signed for it and will sign, but never a rejection.
    """
    if of and not comment:
        raise UsageError("revoking what somebody else signed needs a reason", hint="say why: -m TEXT")
    _decide(face, change, environment, "revoke", comment, yes, of)


@command("okto-change verify stuck-settlements --env production")
@change_argument
@environment_option
def verify(face: Face, change: str, environment: str) -> int:
    """Say whether a change is cleared, for CI.

    Compiles the lock at HEAD again and reads policy and decisions, no database. Ends with 0 if cleared, 3 if not or if the
    lock says something else than its sources, 1 without a lock of these sources.
    """
    from okto_change import pipeline
    from okto_change.cli.boundary import show, show_json

    taken = pipeline.verify(face.repository("balloting"), change, environment)
    if face.json:
        from okto_change.report import data

        show_json(data.ballot(taken))
    else:
        from okto_change.report import plain

        show(plain.ballot(taken))
    return 0 if taken.cleared else NotAuthorised.exit_code


@command('okto-change review stuck-settlements --env production -m "read the journal: right rows, right reason"')
@change_argument
@environment_option
@click.option("-m", "--comment", metavar="TEXT", required=True, help="What was looked at and found.")
@yes_option
def review(face: Face, change: str, environment: str, comment: str, yes: str | None) -> None:
    """Sign that a broken glass was looked at.

    Somebody else than who broke it, of the groups that the policy names. An overdue review stops every ordinary run.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    def confirm(debt: ReviewDebt, person: str) -> bool:
        _agree(face, debt, text.debt, debt.change, yes, f"Sign as {person} that you looked at it?")
        return True

    done = pipeline.review(face.repository(), change, environment, comment=comment, confirm=confirm)
    face.emit(done, text.reviews, data.reviews)


@command("okto-change approvals stuck-settlements --env production")
@change_argument
@environment_option
def approvals(face: Face, change: str, environment: str) -> None:
    """Show every decision, whether it counts, and what is missing."""
    from okto_change import pipeline
    from okto_change.report import data, text

    face.emit(pipeline.approvals(face.repository(), change, environment), text.ballot, data.ballot)


def _decide(
    face: Face,
    change: str,
    environment: str,
    decision: Literal["submit", "approve", "reject", "revoke"],
    comment: str,
    yes: str | None,
    of: str = "",
) -> None:
    from okto_change import pipeline
    from okto_change.report import data, text

    confirm = confirmation(face, yes)
    try:
        repository = face.repository()
        decided = pipeline.decide(repository, change, environment, decision, comment=comment, of=of, confirm=confirm)
    except KeyboardInterrupt as error:
        state = f"perhaps signed: `okto-change approvals {change} --env {environment}` shows every decision"
        raise Interrupted("interrupted", state=state) from error
    face.emit(decided, partial(_page, text.decided, decision), data.decided)


def _page(page: Callable[..., str], decision: str, decided: object, look: object) -> str:
    return page(decided, decision, look)


def confirmation(face: Face, yes: str | None) -> Callable[[DecisionRequest], bool]:
    """Return a function that shows a request and returns True only once its change's whole id was given or typed."""

    def confirm(request: DecisionRequest) -> bool:
        from okto_change.report import text

        question = f"{request.decision.capitalize()} this for {request.environment} as {request.person}?"
        _agree(face, request, text.request, request.change, yes, question)
        return True

    return confirm


def _agree(face: Face, shown: T, page: Callable[[T, Look], str], change: str, yes: str | None, question: str) -> None:
    """Show what is to be signed, and go on only once the change's whole id was given or typed."""
    face.say(page, shown)
    if yes is not None and yes != change:
        raise UsageError(f"--yes names {yes}, but this is {change}", hint="give the id of the change that you mean")
    if yes is None and interactive():
        ask_for(change, question)
