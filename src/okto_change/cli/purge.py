"""The command that ends the life of images."""

from __future__ import annotations

import click

from okto_change.cli.face import Face, ask_for, command, environment_option, interactive


@command("okto-change purge --env production --dry-run")
@environment_option
@click.option("--dry-run", is_flag=True, help="Only say what would go; nothing is changed.")
@click.option("--yes", is_flag=True, help="Do not ask, even on a terminal.")
def purge(face: Face, environment: str, dry_run: bool, yes: bool) -> int:
    """Take images away that policy keeps no longer; their digests stay.

    Images are the rows and files that runs found and left. `images: {keep: 90d}` of an environment says how long they
    are kept. Without them a run cannot be rolled back; the journal keeps how many they were and their digests. Tables and
    columns that DROP put aside stay: `okto-change trash` lists them, and a change of its own drops them.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    if not dry_run and not yes and interactive():
        planned = pipeline.purge(face.repository(), environment, dry_run=True)
        face.say(text.purge, planned)
        if planned.images:
            ask_for(environment, "Take these images away for good?")
    result = pipeline.purge(face.repository(), environment, dry_run=dry_run)
    face.emit(result, text.purge, data.purge)
    return 1 if result.silent else 0
