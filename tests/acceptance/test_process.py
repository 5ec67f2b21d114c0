"""The command as a process: how it behaves on a terminal, in a pipe and in a shell's completion."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.report import samples

ROOT = Path(__file__).parents[2]
STAND_IN = [sys.executable, "-m", "tests.unit.cli.stand_in"]
REAL = [sys.executable, "-c", "import sys; from okto_change.cli.main import main; sys.exit(main())"]


def environment(**given: str) -> dict[str, str]:
    """This process's environment with UTF-8 and without a say on colours."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    return kept | {"LC_ALL": "C.UTF-8", "TERM": "xterm"} | given


def on_a_terminal(
    arguments: list[str], *, answer: str | None = None, columns: int = 90, **variables: str
) -> tuple[int, str]:
    """Run the stand-in on a pseudo-terminal, type ``answer`` when asked; return exit code and what was shown."""
    inner, outer = pty.openpty()
    command = [*STAND_IN, *arguments]
    process = subprocess.Popen(
        command, stdin=outer, stdout=outer, stderr=outer, cwd=ROOT, env=environment(COLUMNS=str(columns), **variables)
    )
    os.close(outer)
    shown, deadline = "", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([inner], [], [], 0.1)[0]:
            try:
                shown += os.read(inner, 65536).decode()
            except OSError:
                break
        elif process.poll() is not None:
            break
        if answer is not None and "to go on:" in shown:
            os.write(inner, (answer + "\n").encode())
            answer = None
    os.close(inner)
    return process.wait(5), shown.replace("\r\n", "\n")


def test_approve_asks_for_the_changes_whole_id() -> None:
    """Typed right it signs; anything else signs nothing."""
    code, shown = on_a_terminal(["approve", "stuck", "--env", "production"], answer=samples.CHANGE)
    assert code == 0
    assert "bruno-approve-0123456789ab.signed" in shown
    code, shown = on_a_terminal(["approve", "stuck", "--env", "production"], answer="yes")
    assert code == 1
    assert "not confirmed" in shown


def test_apply_asks_on_a_terminal_unless_told_not_to() -> None:
    """Only where there is clearance; without it, apply says why not."""
    code, shown = on_a_terminal(["apply", "cleared", "--env", "production"], answer="no")
    assert code == 1
    assert "nothing was changed" in shown
    code, shown = on_a_terminal(["apply", "cleared", "--env", "production", "--yes"])
    assert code == 0
    assert "committed release on ledger" in shown
    assert on_a_terminal(["apply", "refused", "--env", "production"])[0] == 3


def test_colours_are_for_terminals_that_want_them() -> None:
    """``NO_COLOR`` and a dumb terminal get plain text, at the terminal's width."""
    assert "\x1b[" in on_a_terminal(["dry-run", "x", "--env", "e"])[1]
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = on_a_terminal(["dry-run", "x", "--env", "e"], columns=72, **variables)[1]
        assert "\x1b" not in shown
        assert max(len(line) for line in shown.splitlines()) <= 72


def test_a_reader_that_goes_away_is_no_error() -> None:
    """``| head -1`` ends quietly, with the exit code of what was done."""
    process = subprocess.Popen(
        [*STAND_IN, "status", "--env", "many"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) == 0
    process.stderr.close()


def test_a_polite_kill_rolls_back_and_tells_as_ctrl_c_does() -> None:
    """The runner gets to close its transaction, and the state of things is said."""
    done = subprocess.run(
        [*STAND_IN, "apply", "killed", "--env", "e"], capture_output=True, text=True, cwd=ROOT, env=environment()
    )
    assert done.returncode == 130
    assert "rolled back; nothing was changed" in done.stderr


def test_an_output_that_knows_no_unicode_gets_codes() -> None:
    """Arrows become escapes instead of an error."""
    done = subprocess.run(
        [*STAND_IN, "status"], capture_output=True, cwd=ROOT, env=environment(PYTHONIOENCODING="ascii"), check=True
    )
    assert b"\\u2192" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    """For the three shells that click knows."""
    done = subprocess.run([*REAL, "completion", shell], capture_output=True, text=True, check=True, env=environment())
    assert "_OKTO_CHANGE_COMPLETE" in done.stdout


def test_completion_knows_commands_changes_and_environments(tmp_path: Path) -> None:
    """From the names of folders and locks, without reading a file."""
    locks = tmp_path / "changes" / samples.CHANGE / "locks"
    locks.mkdir(parents=True)
    (locks / "production.json").touch()
    (locks.parent / "plan.yaml").touch()

    def complete(words: str, place: int) -> str:
        asked = environment(_OKTO_CHANGE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(place))
        return subprocess.run(REAL, capture_output=True, text=True, check=True, env=asked, cwd=tmp_path).stdout

    assert complete("okto-change app", 1).splitlines() == ["plain,approve", "plain,approvals", "plain,apply"]
    assert complete("okto-change apply stuck", 2).splitlines() == [f"plain,{samples.CHANGE}"]
    assert complete("okto-change apply x --env pro", 4).splitlines() == ["plain,production"]
