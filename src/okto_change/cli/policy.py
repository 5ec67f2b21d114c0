"""Commands over versions of the policy."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from okto_change.cli import boundary
from okto_change.cli.face import Face, ask_for, command, group, interactive
from okto_change.errors import UsageError

if TYPE_CHECKING:
    from okto_change.model import PolicyCheck


@group("okto-change policy check")
def policy() -> None:
    """Check, explain and sign versions of the policy."""


@command("okto-change policy check")
def check(face: Face) -> int:
    """Read the newest version here, and say what it changes.

    Who could approve what, before and after. The exit code is 1 while the owners' signatures are missing.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    found = pipeline.policy_check(face.repository())
    face.emit(found, text.policy_check, data.policy_check)
    return 1 if found.lacking else 0


@command("okto-change policy sign --key ~/.ssh/policy_sk")
@click.option("--yes", metavar="VERSION", help="The version's number, for scripts: sign without asking.")
def sign(face: Face, yes: str | None) -> None:
    """Sign the newest version here as one of the policy's owners."""
    from okto_change import pipeline
    from okto_change.report import data, text

    if yes is None and not interactive():
        raise UsageError("there is no terminal to ask on", hint="give the version's number: --yes VERSION")

    def confirm(found: PolicyCheck) -> bool:
        face.say(text.policy_check, found)
        if yes is not None and yes != str(found.version):
            raise UsageError(f"--yes names {yes}, but this is version {found.version}")
        if yes is None:
            ask_for(PurePath(found.file).name, "Sign this version of the policy?")
        return True

    face.emit(pipeline.policy_sign(face.repository(), confirm=confirm), text.policy_signed, data.policy_signed)


@command("okto-change policy export-signers > allowed_signers")
def export_signers(face: Face) -> None:
    """Print the policy's keys for ssh-keygen.

    The format is OpenSSH's allowed_signers, to check signatures without okto-change.
    """
    from okto_change import pipeline
    from okto_change.report import data

    found = pipeline.policy_signers(face.repository())
    if face.json:
        boundary.show_json(data.signers(found))
    else:
        boundary.show(found)


policy.add_command(check)
policy.add_command(sign)
policy.add_command(export_signers)
