"""Commands that sign a decision, and the one that shows them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from okto_change.cli.boundary import Interrupted
from okto_change.cli.face import Face, ask_for, change_argument, command, environment_option, interactive
from okto_change.errors import UsageError

if TYPE_CHECKING:
    from okto_change.model import DecisionRequest

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
        raise UsageError("there is no terminal to ask on", hint="give the whole id: --yes CHANGE-ID")
    _decide(face, change, environment, "approve", comment, yes)


@command('okto-change reject stuck-settlements --env production -m "the window is too wide"')
@change_argument
@environment_option
@click.option("-m", "--comment", metavar="TEXT", required=True, help="Why it must not run.")
@yes_option
def reject(face: Face, change: str, environment: str, comment: str, yes: str | None) -> None:
    """Sign that a change must not run."""
    _decide(face, change, environment, "reject", comment, yes)


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
    decision: Literal["submit", "approve", "reject"],
    comment: str,
    yes: str | None,
) -> None:
    from okto_change import pipeline
    from okto_change.report import data, text

    confirm = confirmation(face, yes)
    try:
        decided = pipeline.decide(face.repository(), change, environment, decision, comment=comment, confirm=confirm)
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

        face.say(text.request, request)
        if yes is not None and yes != request.change:
            raise UsageError(
                f"--yes names {yes}, but this is {request.change}", hint="give the id of the change that you mean"
            )
        if yes is None and interactive():
            ask_for(request.change, f"{request.decision} this for {request.environment} as {request.person}?")
        return True

    return confirm
