"""Every command: its help, its page, its JSON, its exit code. The pipeline behind them is a stand-in."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click
import pytest

import okto_change
from okto_change.cli import author
from okto_change.cli.boundary import Interrupted
from okto_change.cli.face import ask_for
from okto_change.cli.main import COMMANDS, SECTIONS, main
from okto_change.cli.main import okto_change as root
from okto_change.errors import OktoError, Refused
from tests.unit.cli import stand_in
from tests.unit.report import samples

EVERY = [
    ["init"],
    ["new", "Release", "-p", "merchant_id=42"],
    ["check", "x", "--env", "production"],
    ["lock", "x", "--env", "production"],
    ["dry-run", "x", "--env", "production"],
    ["submit", "x", "--env", "production"],
    ["approve", "x", "--env", "production", "--yes", samples.CHANGE],
    ["reject", "x", "--env", "production", "-m", "too wide"],
    ["approvals", "x", "--env", "production"],
    ["revoke", "x", "--env", "production"],
    ["verify", "cleared", "--env", "production"],
    ["review", "x", "--env", "production", "-m", "right rows", "--yes", samples.CHANGE],
    ["apply", "x", "--env", "production", "--break-glass", "--incident", "INC-1", "--reason", "down", "--yes"],
    ["apply", "x", "--env", "production"],
    ["rollback", "x", "--env", "production"],
    ["rollback", "x", "--env", "production", "--dry-run"],
    ["redo", "x", "--env", "production"],
    ["redo", "x", "--env", "production", "--dry-run"],
    ["pause", "r1"],
    ["resume", "r1"],
    ["status"],
    ["show", "x"],
    ["audit", "log", "--env", "production"],
    ["audit", "verify", "--env", "production"],
    ["doctor", "--env", "production"],
    ["policy", "check"],
    ["policy", "sign", "--yes", "2"],
    ["policy", "export-signers"],
    ["trust", "init", "--expect", "7f3a"],
    ["trust", "show"],
    ["completion", "bash"],
]


@pytest.fixture(autouse=True)
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the stand-in where the commands look for the pipeline, and logs into a folder of the test."""
    monkeypatch.setitem(sys.modules, "okto_change.pipeline", stand_in)
    monkeypatch.setattr(okto_change, "pipeline", stand_in, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def leaf(name: str) -> list[tuple[list[str], click.Command]]:
    """A command as typed, and its subcommands."""
    found = root.get_command(click.Context(root), name)
    assert found is not None
    if isinstance(found, click.Group):
        return [([name, inner], command) for inner, command in found.commands.items()]
    return [([name], found)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And the table of commands tells each one's own first line."""
    found = root.get_command(click.Context(root), name)
    assert found is not None
    assert (found.help or "").splitlines()[0] == COMMANDS[name].help
    for typed, _ in leaf(name):
        assert main([*typed, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Example:\n  " in shown
        assert "okto-change " + " ".join(typed) in shown.split("Example:")[1].replace('eval "$(', "")
        assert "--json" in shown


def typed_in(words: str) -> list[list[str]]:
    """Return the command lines that the closing words of a help show, without the program's name."""
    lines = [line.strip().removeprefix('eval "$(').removesuffix(')"') for line in words.splitlines()]
    return [shlex.split(line.partition(" > ")[0])[1:] for line in lines if line.startswith("okto-change ")]


@pytest.mark.parametrize(
    "line",
    [line for name in COMMANDS for _, found in leaf(name) for line in typed_in(found.epilog or "")],
    ids=shlex.join,
)
def test_an_example_can_be_typed_as_it_stands(line: list[str]) -> None:
    """Its command is there, and takes these options and arguments; so do those of the help of the program itself."""
    commands = {tuple(typed): found for name in COMMANDS for typed, found in leaf(name)}
    words = next(known for known in commands if list(known) == line[: len(known)])
    assert commands[words].make_context(" ".join(words), line[len(words) :]).params


def test_the_first_change_of_the_help_is_locked_before_its_dry_run() -> None:
    """As the journey asks; each line can be typed."""
    lines = typed_in(root.epilog or "")
    assert [line[0] for line in lines] == ["init", "new", "lock", "dry-run", "completion"]
    for line in lines:
        test_an_example_can_be_typed_as_it_stands(line)


def test_the_help_lists_every_command_once() -> None:
    """In the order of the journey."""
    assert sum(len(section) for section in SECTIONS.values()) == len(COMMANDS)


@pytest.mark.parametrize("arguments", EVERY, ids=lambda arguments: " ".join(arguments[:2]))
def test_every_command_answers_with_a_page_and_with_json(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Data on stdout alone, so that it can be piped; the same exit code."""
    assert main(arguments) == 0
    page = capsys.readouterr()
    assert page.out.endswith("\n")
    assert "\x1b" not in page.out + page.err
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["apply", "refused", "--env", "e"], 3),
        (["apply", "rolled_back", "--env", "e"], 4),
        (["apply", "undone", "--env", "e"], 5),
        (["verify", "x", "--env", "e"], 3),
        (["revoke", "x", "--env", "e", "--of", "bruno"], 2),
        (["apply", "x", "--env", "e", "--break-glass", "--yes"], 2),
        (["apply", "x", "--env", "e", "--incident", "INC-1"], 2),
        (["rollback", "undone", "--env", "e"], 0),
        (["rollback", "conflict", "--env", "e"], 6),
        (["rollback", "conflict", "--env", "e", "--dry-run"], 6),
        (["rollback", "nothing", "--env", "e", "--dry-run"], 0),
        (["redo", "x", "--env", "e", "--dry-run"], 0),
        (["resume", "stuck"], 6),
        (["dry-run", "failed", "--env", "e"], 1),
        (["dry-run", "x", "--env", "e", "--static"], 0),
        (["doctor", "--env", "ill"], 1),
        (["audit", "verify", "--env", "broken"], 7),
        (["apply", "interrupted", "--env", "e"], 130),
        (["apply", "bug", "--env", "e"], 70),
    ],
)
def test_the_exit_code_tells_how_it_ended(arguments: list[str], code: int) -> None:
    """Design's list of exit codes."""
    assert main(arguments) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aply", "x"], "did you mean 'apply'?"),
        (["apply", "x"], "--env"),
        (["check"], "CHANGE"),
        (["check", "x", "--nope"], "--nope"),
        (["new", "T", "-p", "merchant"], "-p merchant: expected NAME=VALUE"),
        (["new", "T", "-p", "a=1", "-p", "a=2"], "a is given twice"),
        (["approve", "x", "--env", "e"], "there is no terminal to ask on"),
        (["approve", "x", "--env", "e", "--yes", "other"], f"--yes names other, but this is {samples.CHANGE}"),
        (["dry-run", "x", "--env", "e", "--json", "--markdown", "-"], "both want stdout"),
        (["dry-run", "x", "--env", "e", "--markdown", "/nowhere/x.md"], "cannot be written"),
        (["reject", "x", "--env", "e"], "--comment"),
    ],
)
def test_a_command_line_that_does_not_fit_is_a_usage_error(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, with a hint, and nothing on stdout."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "next:" in shown.err or "given twice" in shown.err or "NAME=VALUE" in shown.err or "written" in shown.err
    assert "--json" in arguments or shown.out == ""


def test_an_error_with_json_is_an_object_on_stdout_and_words_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads one, a person the other."""
    assert main(["apply", "refused", "--env", "e", "--json"]) == 3
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert error["type"] == "NotAuthorised"
    assert error["exit_code"] == 3
    assert error["faults"] == ["3. approvers: 0 of 1"]
    assert "3. approvers: 0 of 1" in shown.err


def test_our_bug_keeps_its_traceback_in_a_private_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the file; neither traceback nor message of the exception is shown."""
    assert main(["apply", "bug", "--env", "e"]) == 70
    shown = capsys.readouterr().err
    (log,) = (tmp_path / "okto-change" / "log").iterdir()
    assert str(log) in shown
    assert "state: nothing was changed" in shown
    assert "Traceback" not in shown
    assert "secret" not in shown
    assert log.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError: secret in the message" in log.read_text()


def test_an_interruption_says_what_state_things_are_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C while a COMMIT is on its way."""
    assert main(["apply", "interrupted", "--env", "e"]) == 130
    assert "interrupted while committing: `okto-change status --env production` finds out" in capsys.readouterr().err


def test_the_repository_and_key_may_be_named_before_or_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """After wins."""
    assert main(["-C", "/one", "--key", "k", "new", "T", "-C", "/two"]) == 0
    assert "(PosixPath('/two'), 'k')" in capsys.readouterr().out


def test_markdown_goes_to_a_file_or_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a pull request."""
    path = tmp_path / "page.md"
    assert main(["dry-run", "x", "--env", "e", "--markdown", str(path)]) == 0
    assert path.read_text().startswith("### Dry run: ")
    capsys.readouterr()
    assert main(["dry-run", "x", "--env", "e", "--markdown", "-"]) == 0
    assert capsys.readouterr().out == path.read_text()


def test_the_page_before_a_signature_is_shown_even_to_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr: its log tells what was signed."""
    assert main(["approve", "x", "--env", "e", "--yes", samples.CHANGE, "--json"]) == 0
    shown = capsys.readouterr()
    assert "WHAT YOU SIGN" in shown.err
    assert json.loads(shown.out)["kind"] == "decided"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the program and of the group."""
    assert main([]) == 0
    assert "Write a change:" in capsys.readouterr().out
    assert main(["audit"]) == 0
    assert "verify" in capsys.readouterr().out


def test_help_of_new_names_every_template() -> None:
    """They are a part of what a person has to know."""
    from okto_change.plan.scaffold import TEMPLATES

    (option,) = [one for one in author.new.params if one.name == "template"]
    assert isinstance(option, click.Option) and option.help is not None
    assert all(name in option.help for name in TEMPLATES)


class Terminal:
    """Somebody types ``line``, or presses Ctrl-C where it is None."""

    def __init__(self, line: str | None) -> None:
        self.line = line

    def readline(self) -> str:
        """Return the line typed."""
        if self.line is None:
            raise KeyboardInterrupt
        return self.line


@pytest.mark.parametrize(
    ("typed", "error", "said"),
    [("r1\n", None, "> "), ("r2\n", Refused, "> "), ("", Refused, "> \n"), (None, Interrupted, "> \n")],
    ids=["the word", "another", "end of file", "Ctrl-C"],
)
def test_a_question_ends_its_line_and_says_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str | None,
    error: type[OktoError] | None,
    said: str,
) -> None:
    """Whatever is answered, the next message begins a line of its own."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    if error is None:
        ask_for("r1", "Go on?")
    else:
        with pytest.raises(error) as raised:
            ask_for("r1", "Go on?")
        assert raised.value.state == "nothing was changed"
    assert capsys.readouterr().err == f"Go on?\nType its id to go on:\n  r1\n{said}"
