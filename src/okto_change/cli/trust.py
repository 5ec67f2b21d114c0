"""Commands that pin a repository, and show what is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from okto_change.cli.face import Face, ask_for, command, group, interactive
from okto_change.errors import UsageError

if TYPE_CHECKING:
    from okto_change.model import TrustView


@group("okto-change trust show")
def trust() -> None:
    """Pin which repository is trusted, and show what is."""


@command("okto-change trust init git@forge.example:payments/changes.git")
@click.argument("place", metavar="[URL|DIR]", required=False)
@click.option("--system", is_flag=True, help="Pin it for the whole machine, as root: /etc/okto-change/trust.yaml.")
@click.option("--expect", metavar="FINGERPRINT", help="Pin it if this is its fingerprint, without asking.")
def init(face: Face, place: str | None, system: bool, expect: str | None) -> None:
    """Pin a repository, once its fingerprint was compared.

    The owner of the policy reads the fingerprint out from `okto-change trust show`, by telephone or face to face. It is
    that of the repository's id, its protected branch and the newest version of its policy.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    if expect is None and not interactive():
        raise UsageError("there is no terminal to compare on", hint="give what was read out: --expect FINGERPRINT")

    def confirm(view: TrustView) -> bool:
        face.say(text.trust, view)
        question = "Does its owner read out the same fingerprint? Then it is trusted from now on."
        ask_for(view.fingerprint[:9], question, "its first digits")
        return True

    view = pipeline.trust_init(place or str(face.directory), system=system, expect=expect, confirm=confirm)
    face.emit(view, text.trust, data.trust)


@command("okto-change trust show")
def show(face: Face) -> None:
    """Show what is trusted here, with the fingerprint to read out."""
    from okto_change import pipeline
    from okto_change.report import data, text

    face.emit(pipeline.trust_show(face.repository()), text.trust, data.trust)


trust.add_command(init)
trust.add_command(show)
