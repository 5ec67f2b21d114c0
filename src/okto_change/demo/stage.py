"""Where the demo is shown: headings, sentences, commands and what they answered."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from okto_change.database.session import connect
from okto_change.demo.world import World

INDENT = 4
"""columns in front of each line of an answer"""


class Mishap(RuntimeError):
    """A command of the demo did not end as it should; the message holds the command and everything it said."""


def installed_command() -> list[str]:
    """Return the argv of the okto-change that belongs to this Python."""
    for script in (Path(sys.argv[0]), Path(sys.executable).with_name("okto-change")):
        if script.name == "okto-change" and script.is_file():
            return [str(script.absolute())]
    return [sys.executable, "-c", "import sys; from okto_change.cli.main import main; sys.exit(main())"]


class Stage:
    """Shows a world to ``out``. Commands run in a person's clone, with that person's key."""

    def __init__(self, world: World, out: TextIO) -> None:
        self.world = world
        self._out = out
        self._command = installed_command()

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._write(f"\n\n== {text} ==")

    def say(self, text: str) -> None:
        """Say a sentence or two."""
        self._write(f"\n{text}")

    def okto(
        self,
        person: str,
        *arguments: str,
        expect: int = 0,
        lines: int | None = None,
        talk: bool = True,
        short: Callable[[str], str] = str,
    ) -> None:
        """Run okto-change as ``person`` and show ``lines`` of its answer, made ``short``; ``talk``: progress too.

        Raises Mishap when it does not exit with ``expect``.
        """
        self._write(f"\n{person}$ okto-change {_shown(arguments)}")
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self.world.clone(person),
            env={**self.world.environ(), "COLUMNS": str(shutil.get_terminal_size((INDENT + 100, 24)).columns - INDENT)},
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        said = done.stderr + done.stdout
        if done.returncode != expect:
            ended = f"okto-change {_shown(arguments)} ended with {done.returncode}, not {expect}"
            raise Mishap(f"{ended}:\n{said}{self._logs()}")
        self.show(short(said if talk else done.stdout), lines=lines)
        if expect:
            self._write(f"    (exit code {expect})")

    def publish(self, person: str, message: str) -> None:
        """Commit all of the person's clone and push it to the protected branch, as a merged pull request does."""
        self._write(f'\n{person}$ git add --all && git commit --message "{message}" && git push origin main')
        self.world.publish(person, message)

    def pull(self, person: str) -> None:
        """Bring the person's clone up to date."""
        self._write(f"\n{person}$ git pull")
        self.world.git(person, "pull", "--quiet", "--ff-only")

    def query(self, environment: str, sql: str) -> None:
        """Show a query and its rows."""
        self._write(f"\n{environment}=# {sql}")
        with connect(environment, self.world.dsn(environment)) as session:
            _, rows = session.texts(sql)
        self.show("\n".join(" | ".join(cell or "" for cell in row) for row in rows))

    def show(self, text: str, lines: int | None = None) -> None:
        """Show an answer, indented; of a long one the first ``lines`` lines."""
        answer = text.strip("\n").split("\n") if text.strip("\n") else []
        shown = answer if lines is None or len(answer) <= lines + 1 else answer[:lines]
        for line in shown:
            self._write(f"{' ' * INDENT}{line}".rstrip())
        if len(shown) < len(answer):
            self._write(f"    ... ({len(answer) - len(shown)} more lines)")

    def _logs(self) -> str:
        """Return what bugs left in the log folder, which goes with the demo."""
        folder = self.world.home / ".local" / "state" / "okto-change" / "log"
        return "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.log")))

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def few_rows(page: str, most: int = 5) -> str:
    """Return a page with at most ``most`` lines of each of its tables of rows."""
    sections = page.split("\n\n")
    return "\n\n".join(_cut(section, most) if section.startswith("ROWS of") else section for section in sections)


def _cut(section: str, most: int) -> str:
    lines = section.split("\n")
    return "\n".join([*lines[: most + 1], "  ..."]) if len(lines) > most + 2 else section


def _shown(arguments: tuple[str, ...]) -> str:
    return " ".join(f'"{each}"' if " " in each or not each else each for each in arguments)
