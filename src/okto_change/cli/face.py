"""What every command has: common options, the repository, data on stdout, talk on stderr, questions, progress."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from okto_change.cli import CONTEXT_SETTINGS, boundary, complete
from okto_change.errors import NOTHING_CHANGED, Refused
from okto_change.model.base import type_

if TYPE_CHECKING:
    from okto_change.pipeline import Repository
    from okto_change.report.look import Look
    from okto_change.report.progress import Progress

P = ParamSpec("P")
T = TypeVar("T")

WIDTH_OF_A_PIPE = 100
NARROWEST, WIDEST = 60, 120


@type_
class Face:
    """How this command line talks: where it works, as whom, and to whom it speaks."""

    directory: Path
    key: str | None
    json: bool
    verbose: bool

    def repository(self, ahead: str | None = None) -> Repository:
        """Open the change repository of ``-C`` or of the working folder; ``ahead`` as ``pipeline.open_repository`` has it."""
        from okto_change import pipeline

        repo = pipeline.open_repository(self.directory, self.key, boundary.warn, ahead=ahead)
        click.get_current_context().call_on_close(repo.close)
        return repo

    def emit(self, result: T, page: Callable[[T, Look], str], record: Callable[[T], dict[str, Any]]) -> None:
        """Write a result to stdout: its page, with ``--json`` its object."""
        if self.json:
            boundary.show_json(record(result))
        else:
            boundary.show(page(result, look(sys.stdout)))

    def say(self, page: Callable[[T, Look], str], result: T) -> None:
        """Show a page on stderr: talk, not data."""
        with contextlib.suppress(OSError):
            sys.stderr.write(page(result, look(sys.stderr)) + "\n")
            sys.stderr.flush()

    @contextlib.contextmanager
    def watching(self, first: Callable[[], None] | None = None) -> Iterator[Progress]:
        """Show events while the body runs; whatever interrupts or breaks it says what state it leaves.

        ``first`` is called at the first event.
        """
        from okto_change.report.progress import Progress

        progress = Progress(sys.stderr, live=boundary.coloured(sys.stderr), verbose=self.verbose, first=first)
        try:
            with _ended_like_ctrl_c():
                yield progress
        except KeyboardInterrupt as error:
            raise boundary.Interrupted("interrupted", state=progress.state()) from error
        except Exception as error:
            error.add_note(progress.state())
            raise
        finally:
            progress.close()


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let a closed terminal or a polite kill roll back and tell, as Ctrl-C does, instead of just going."""
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def look(stream: Any) -> Look:
    """Return the look of a page on ``stream``: a terminal's width and colours, 100 plain columns elsewhere."""
    from okto_change.report.look import Look

    return Look(width=max(NARROWEST, min(_columns(stream), WIDEST)), colour=boundary.coloured(stream))


def _columns(stream: Any) -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdigit():
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return WIDTH_OF_A_PIPE


def interactive() -> bool:
    """Whether somebody can be asked: both ends of the talk are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_for(word: str, question: str, name: str = "its id") -> None:
    """Ask for ``word``, which is called ``name``. Raises Refused for anything else, Interrupted for Ctrl-C: nothing is done."""
    sys.stderr.write(f"{question}\nType {name} to go on:\n  {word}\n> ")
    sys.stderr.flush()
    try:
        typed = sys.stdin.readline()
    except KeyboardInterrupt as error:
        sys.stderr.write("\n")
        raise boundary.Interrupted("interrupted", state=NOTHING_CHANGED) from error
    if not typed.endswith("\n"):
        sys.stderr.write("\n")
    if typed.strip() != word:
        raise Refused("not confirmed", hint=f"run the command again and type the whole of {name} when you are sure")


def command(example: str) -> Callable[[Callable[Concatenate[Face, P], int | None]], click.Command]:
    """Make a command of a function that takes a `Face` first: common options, an example under its help."""

    def make(body: Callable[Concatenate[Face, P], int | None]) -> click.Command:
        @wraps(body)
        def run(*given: P.args, **options: P.kwargs) -> int | None:
            face = _face(options)
            return body(face, *given, **options)

        for option in reversed(COMMON):
            option(run)
        name = body.__name__.strip("_").replace("_", "-")
        return click.command(name, epilog=f"\b\nExample:\n  {example}", context_settings=CONTEXT_SETTINGS)(run)

    return make


def group(example: str) -> Callable[[Callable[[], None]], click.Group]:
    """Make a group of commands of a function that only has words; without a command it shows its help."""

    def make(body: Callable[[], None]) -> click.Group:
        @click.pass_context
        def run(context: click.Context) -> None:
            if context.invoked_subcommand is None:
                click.echo(context.get_help())

        epilog = f"\b\nExample:\n  {example}"
        return click.Group(
            body.__name__,
            callback=run,
            help=body.__doc__,
            epilog=epilog,
            invoke_without_command=True,
            context_settings=CONTEXT_SETTINGS,
        )

    return make


def _face(options: dict[str, Any]) -> Face:
    outer: dict[str, Any] = click.get_current_context().find_root().obj or {}
    directory, key = options.pop("directory"), options.pop("key")
    return Face(
        directory=Path(directory or outer.get("directory") or "."),
        key=key or outer.get("key"),
        json=bool(options.pop("as_json") or outer.get("json")),
        verbose=bool(options.pop("verbose") or outer.get("verbose")),
    )


COMMON = (
    click.option("--json", "as_json", is_flag=True, help="Write one JSON object to stdout."),
    click.option("-C", "directory", metavar="DIR", type=click.Path(), help="Work in the change repository at DIR."),
    click.option("--key", metavar="FILE", type=click.Path(), help="The SSH key that says who you are."),
    click.option("-v", "--verbose", is_flag=True, help="Tell more."),
)

change_argument = click.argument("change", shell_complete=complete.changes)
environment_option = click.option(
    "--env", "environment", metavar="E", required=True, help="The environment.", shell_complete=complete.environments
)
any_environment_option = click.option(
    "--env", "environment", metavar="E", help="Only this environment.", shell_complete=complete.environments
)
