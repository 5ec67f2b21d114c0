"""Every command on its own: help with an example that parses, one JSON document, plain text, pipes, closed streams."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from okto_change.cli.main import COMMANDS, okto_change
from okto_change.demo.stage import installed_command
from tests.plugins.market import document, explained, write_change
from tests.plugins.world import Answer, Shop

WARM = True

CHANGE = "set-limit"
ENV = ("--env", "production")
GROUPS = {"audit": ["log", "verify"], "policy": ["check", "sign", "export-signers"], "trust": ["init", "show"]}
EVERY = [
    " ".join((name, *part)) for name in COMMANDS for part in ([[p] for p in GROUPS[name]] if name in GROUPS else [[]])
]
FAILING: dict[str, tuple[tuple[str, ...], int]] = {
    "init": ((), 2),
    "new": (("A title", "-p", "no-equals-sign"), 2),
    "check": (("no-such",), 2),
    "lock": ((CHANGE, "--env", "nowhere"), 2),
    "dry-run": ((CHANGE, *ENV), 1),
    "submit": ((CHANGE, *ENV), 1),
    "approve": ((CHANGE, *ENV), 2),
    "reject": ((CHANGE, *ENV), 2),
    "approvals": ((CHANGE, *ENV), 1),
    "apply": ((CHANGE, *ENV), 1),
    "rollback": (("no-such", *ENV), 2),
    "redo": (("no-such", *ENV), 2),
    "resume": (("20261122-021409-7f3a9c04",), 2),
    "status": (("--env", "nowhere"), 2),
    "show": (("no-such",), 2),
    "audit log": ((), 2),
    "audit verify": (("--env", "nowhere"), 2),
    "doctor": ((), 2),
    "revoke": ((CHANGE, *ENV), 1),
    "review": ((CHANGE, *ENV), 2),
    "verify": ((CHANGE, *ENV), 1),
    "pause": (("20261122-021409-7f3a9c04",), 2),
    "purge": (("--env", "nowhere"), 2),
    "trash": (("--env", "nowhere"), 2),
    "policy check": (("no-such",), 2),
    "policy sign": (("no-such",), 2),
    "policy export-signers": (("no-such",), 2),
    "trust init": ((), 2),
    "trust show": (("no-such",), 2),
    "demo": (("--keep", "."), 2),
    "completion": (("powershell",), 2),
}
"""A command line of each command that fails, and how."""


@pytest.fixture(scope="module")
def shop_with_change(market: Shop) -> Shop:
    """Return a shop where Ana committed a change but did not publish, lock or rehearse it."""
    write_change(market, CHANGE)
    market.world.git("ana", "add", "--all")
    market.world.git("ana", "commit", "--quiet", "--message", "A change")
    return market


@pytest.fixture(scope="module")
def helps(shop_with_change: Shop) -> dict[str, Answer]:
    """Return what every command says to ``--help``."""
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda name: shop_with_change.okto("ana", *name.split(), "--help"), EVERY)
        return dict(zip(EVERY, answers, strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_every_help_has_an_example_that_parses(helps: dict[str, Answer], name: str) -> None:
    """Copied from the screen, it is a command line that click accepts, of that very command."""
    shown = helps[name].out
    assert shown.startswith(f"Usage: okto-change {name} ")
    (example,) = re.findall(r"^ *Example:\n +(.+)$", shown, re.MULTILINE)
    words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0])
    assert words[: 1 + len(name.split())] == ["okto-change", *name.split()]
    command, rest = okto_change.get_command(click.Context(okto_change), words[1]), words[2:]
    if isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    assert command is not None
    assert command.make_context(name, rest).params


@pytest.fixture(scope="module")
def failures(shop_with_change: Shop) -> dict[str, Answer]:
    """Return how every command fails on a command line of its own, with ``--json``."""

    def run(name: str) -> Answer:
        return shop_with_change.okto("ana", *name.split(), *FAILING[name][0], "--json", expect=None)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(EVERY, pool.map(run, EVERY), strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_every_failure_is_one_json_document_that_explains_itself(failures: dict[str, Answer], name: str) -> None:
    """On stdout; the same in words on stderr; with the exit code that its kind of failure has."""
    answer = failures[name]
    error = document(answer)["error"]
    assert error["exit_code"] == answer.code == FAILING[name][1], error
    assert error["state"]
    assert error["hint"], error
    explained(answer, FAILING[name][1], error["message"].splitlines()[0])


def test_a_misspelt_command_is_told_which_one_was_meant(shop_with_change: Shop) -> None:
    """Exit code 2."""
    explained(shop_with_change.okto("ana", "aply", CHANGE, expect=2), 2, "did you mean 'apply'?")


def test_json_may_stand_before_the_command(shop_with_change: Shop) -> None:
    """As the other common options may."""
    assert document(shop_with_change.okto("ana", "--json", "check", CHANGE))["kind"] == "check"


def test_colours_are_never_written_to_a_pipe_and_no_color_is_heard(shop_with_change: Shop) -> None:
    """Not even where a terminal is claimed."""
    for variables in ({"TERM": "xterm-256color"}, {"NO_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb"}):
        assert "\x1b" not in shop_with_change.okto("ana", "check", CHANGE, expect=0, **variables).said


def shell(shop: Shop, script: str, **variables: str) -> Answer:
    """Run a line of shell in Ana's clone; ``okto`` in it is the installed command."""
    line = f'okto() {{ {shlex.join(installed_command())} "$@"; }}; {script}'
    environment = shop.world.environ() | variables
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=shop.world.clone("ana"),
        env=environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def test_a_reader_that_goes_away_is_no_error(shop_with_change: Shop) -> None:
    """``| head -1``."""
    answer = shell(shop_with_change, f"okto show {CHANGE} | head -1")
    assert (answer.code, answer.out, answer.err) == (0, f"{CHANGE}\n", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(shop_with_change: Shop, closed: str) -> None:
    """As under a supervisor that gives none."""
    answer = shell(shop_with_change, f"okto check {CHANGE} {closed}")
    assert (answer.code, answer.err) == (0, "")


def test_an_answer_that_does_not_fit_on_the_disk_is_told(shop_with_change: Shop) -> None:
    """On stderr; the exit code still tells what became of the command."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    answer = shell(shop_with_change, f"okto check {CHANGE} > /dev/full")
    assert answer.code == 0
    assert "could not be written: No space left on device" in answer.err


@pytest.mark.parametrize("asked", ["--help", "--version", "apply --help"])
def test_help_that_does_not_fit_on_the_disk_is_no_bug(shop_with_change: Shop, asked: str) -> None:
    """Said in one line, without a log file to send anywhere."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    answer = shell(shop_with_change, f"okto {asked} > /dev/full")
    assert (answer.code, answer.out) == (1, "")
    assert "error: could not write: No space left on device" in answer.err and "bug" not in answer.err


def test_an_audit_before_the_first_run_finds_nothing_wrong(shop_with_change: Shop) -> None:
    """There is nothing to verify yet."""
    answer = shop_with_change.okto("ana", "audit", "verify", "--env", "sandbox", expect=0)
    assert "nothing ever ran here" in answer.out


def test_in_the_c_locale_nothing_is_lost_and_nothing_breaks(shop_with_change: Shop) -> None:
    """Characters that the terminal cannot show are escaped; files and digests are the same."""
    text = "Überweisung für Ñandú, 日本"
    write_change(shop_with_change, "abroad", plan=PLAN_ABROAD.format(reason=text))
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = shop_with_change.okto("ana", "show", "abroad", expect=0, **plain).out
    assert "\\xdcberweisung" in shown and shown.isascii()
    locked = [
        document(shop_with_change.okto("ana", "lock", "abroad", *ENV, "--json", expect=0, **extra))
        for extra in ({}, plain)
    ]
    assert locked[0]["digest"] == locked[1]["digest"]
    assert locked[1]["changed"] is False
    assert text in json.dumps(
        document(shop_with_change.okto("ana", "show", "abroad", "--json", expect=0, **plain)), ensure_ascii=False
    )


PLAN_ABROAD = """\
format: 1
title: A change from abroad
reason: "{reason}"
author: ana
steps:
  - name: limit
    target: ledger
    sql: limit.sql
    rows: 1
    touches: [merchants]
parameters:
  merchant_id: {{type: bigint, value: 7}}
"""


def test_without_a_terminal_nothing_is_asked_and_nothing_is_signed(shop_with_change: Shop) -> None:
    """Scripts give the whole id."""
    answer = shop_with_change.okto("bruno", "approve", CHANGE, *ENV, expect=2)
    explained(answer, 2, "there is no terminal to ask on", "--yes CHANGE-ID")
