"""The command that asks a large fix to stop between two chunks."""

from __future__ import annotations

import click

from okto_change.cli.face import Face, command


@command("okto-change pause 20261122-021409-7f3a9c04")
@click.argument("run")
def pause(face: Face, run: str) -> int:
    """Ask a large fix to stop before its next chunk.

    The run ends as paused, with what is committed so far standing: `okto-change resume RUN` goes on where it stopped,
    `okto-change rollback` takes it back. It works from any terminal or machine that reaches the target.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    face.emit(pipeline.pause(face.repository(), run), text.pause, data.pause)
    return 0
