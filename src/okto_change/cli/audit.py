"""Commands over the audit trail."""

from __future__ import annotations

import click

from okto_change.cli import complete
from okto_change.cli.face import Face, command, environment_option, group
from okto_change.errors import JournalBroken


@group("okto-change audit verify --env production")
def audit() -> None:
    """Read or verify the audit trail."""


@command("okto-change audit log --env production stuck-settlements")
@click.argument("change", required=False, shell_complete=complete.changes)
@environment_option
def log(face: Face, change: str | None, environment: str) -> None:
    """Show the journal's entries, of one change or of all."""
    from okto_change import pipeline
    from okto_change.report import data, text

    face.emit(pipeline.audit_log(face.repository(), environment, change), text.log, data.log)


@command("okto-change audit verify --env production")
@environment_option
@click.option(
    "--head", "heads", metavar="HEAD", multiple=True, help="What it printed before: it must still be so; repeatable."
)
def verify(face: Face, environment: str, heads: tuple[str, ...]) -> int:
    """Verify the journal, and what was purged.

    No entry changed, missing, moved or put in, and every purge as it was recorded. With the head that an earlier run
    printed and somebody kept, also that the end was not cut off, and nothing written anew.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    report = pipeline.audit_verify(face.repository(), environment, heads)
    face.emit(report, text.audit, data.audit)
    return JournalBroken.exit_code if report.problems else 0


audit.add_command(log)
audit.add_command(verify)
