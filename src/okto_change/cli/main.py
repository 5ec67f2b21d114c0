"""The command's door: a lazy table of commands, so that ``--help`` and ``--version`` import next to nothing."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from okto_change import __version__
from okto_change.cli import CONTEXT_SETTINGS

PROGRAM = "okto-change"


class Place(NamedTuple):
    """Where a command lives, and its line in the list of commands (the command's own, kept equal by a test)."""

    module: str
    help: str


SECTIONS: dict[str, dict[str, Place]] = {
    "Write a change": {
        "init": Place("author", "Make a folder a change repository: policy, environments, keys."),
        "new": Place("author", "Begin a change from a template."),
        "check": Place("author", "Parse, render and analyse a change, offline."),
        "lock": Place("author", "Compile a change for one environment: the bytes that will run."),
        "dry-run": Place("author", "Preview and rehearse a change and its undo; nothing stays."),
    },
    "Decide": {
        "submit": Place("decide", "Sign a locked change as its author."),
        "approve": Place("decide", "Read what will run, and sign it."),
        "reject": Place("decide", "Sign that a change must not run."),
        "revoke": Place("decide", "Take back what was signed."),
        "approvals": Place("decide", "Show every decision, whether it counts, and what is missing."),
        "verify": Place("decide", "Say whether a change is cleared, for CI."),
        "review": Place("decide", "Sign that a broken glass was looked at."),
    },
    "Run": {
        "apply": Place("run", "Run an approved change."),
        "rollback": Place("run", "Take an applied change back."),
        "redo": Place("run", "Put a change back that was rolled back."),
        "pause": Place("pause", "Ask a large fix to stop before its next chunk."),
        "resume": Place("run", "Go on with a paused run, or end one that broke off."),
        "purge": Place("purge", "Take images away that policy keeps no longer; their digests stay."),
    },
    "Look": {
        "status": Place("look", "Show where each change stands."),
        "show": Place("look", "Show one change: its plan, and where it stands."),
        "trash": Place("look", "List what was put aside instead of dropped."),
        "audit": Place("audit", "Read or verify the audit trail."),
        "doctor": Place("look", "Look for whatever would make a run fail."),
    },
    "Trust": {
        "policy": Place("policy", "Check, explain and sign versions of the policy."),
        "trust": Place("trust", "Pin which repository is trusted, and show what is."),
    },
    "Learn": {
        "demo": Place("learn", "Watch the whole journey on a temporary PostgreSQL."),
        "completion": Place("learn", "Print the completion script of a shell."),
    },
}
COMMANDS = {name: place for section in SECTIONS.values() for name, place in section.items()}

EPILOG = f"""\b
A first change:
  {PROGRAM} init
  {PROGRAM} new "Release stuck settlements" --template stuck-settlement
  {PROGRAM} lock stuck --env sandbox
  {PROGRAM} dry-run stuck --env sandbox

\b
Exit codes:
  0 done                       4 failed, rolled back, nothing changed
  1 findings, or refused       5 failed after commit and undone
    before anything ran        6 stuck or paused: decide
  2 usage                      7 journal broken
  3 not authorised            70 our bug, 130 interrupted

\b
Completion of commands, changes and environments, for bash (zsh, fish alike):
  eval "$({PROGRAM} completion bash)"
"""


class Journey(click.Group):
    """A group that imports a command only when it is used, and lists all of them from the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command, in the order of the journey."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no such."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module = import_module(f"okto_change.cli.{place.module}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, a section each."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, place.help) for name, place in commands.items()], col_max=20)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that ``args`` name; a name that is nearly one is told."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.command(cls=Journey, invoke_without_command=True, epilog=EPILOG, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, "--version", prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option("-C", "directory", metavar="DIR", type=click.Path(), help="Work in the change repository at DIR.")
@click.option("--key", metavar="FILE", type=click.Path(), help="The SSH key that says who you are.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more: every event, and the causes of an error.")
@click.pass_context
def okto_change(ctx: click.Context, directory: str | None, key: str | None, as_json: bool, verbose: bool) -> None:
    """Change production safely: plans in git, signed by people, rehearsed with their undo, every row accounted for."""
    ctx.obj = {"directory": directory, "key": key, "json": as_json, "verbose": verbose}
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return the exit code. Every error becomes a message, none a traceback.

    Without ``arguments`` it runs what the process was started for, and ends the process.
    """
    if arguments is not None:
        return _run(list(arguments))
    code = _run(sys.argv[1:])
    _leave(code)
    return code


def _leave(code: int) -> None:
    """End the process now, unless a thread must still work: taking hundreds of modules apart takes longer than most commands.

    A daemon, such as one that imports ahead, ends with it: torn out of an import, it would bring the interpreter down.
    """
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _run(given: list[str]) -> int:
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = okto_change.main(args=given, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        _forget_reader_of_progress()
    except BaseException as error:
        from okto_change.cli import boundary

        return boundary.report(error, given)
    return code if isinstance(code, int) else 0


def _forget_reader_of_progress() -> None:
    """Drop what nobody reads any more: Python's own flush at exit would make it exit code 120."""
    try:
        sys.stderr.flush()
    except OSError:
        from okto_change.cli import boundary

        boundary.silence(sys.stderr)


def _open_closed() -> None:
    """Point standard streams that were closed (``>&-``) nowhere: nothing else may take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
