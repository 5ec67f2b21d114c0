"""Two repositories that keep their journal in one database: neither takes the other's runs for its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from okto_change import pipeline
from okto_change.cli.main import main
from okto_change.errors import Refused, UsageError
from okto_change.model import EventKind, Result
from tests.plugins.journey import CHANGE, FIRST, PAY, POLICY, Bank, Journey
from tests.plugins.people import Keys, make_repository

OURS = "7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f"
THEIRS = "00000000-0c54-4e0e-9d5e-1b7b9c1d2e3f"
OTHER = "2026-11-22-of-the-other-team"


@pytest.fixture
def neighbour(bank: Bank, tmp_path: Path, keys: Keys) -> Iterator[Journey]:
    """Return another team's repository, whose sandbox is the same databases."""
    folder = tmp_path / "neighbour"
    folder.mkdir()
    git = make_repository(folder, keys.ana)
    policy = POLICY.format(key=keys.ana.public, journal="records").replace(OURS, THEIRS)
    git.commit("Begin", {".okto-change/policy/0001.yaml": policy})
    with closing(Journey(git, bank.journey.config)) as made:
        yield made


def test_a_change_of_the_same_id_is_refused_and_nothing_of_the_other_s_is_touched(
    bank: Bank, neighbour: Journey
) -> None:
    bank.plan(FIRST)
    neighbour.write(FIRST, {"pay.sql": PAY.replace("+ 1", "+ 1000")})
    assert bank.journey.apply().result is Result.DONE
    stands = bank.state()

    for command in (neighbour.apply, neighbour.rollback, neighbour.rollback_preview, neighbour.redo):
        with pytest.raises(Refused, match=f"{CHANGE} was run in sandbox from another repository, {OURS}") as refused:
            command()
        assert refused.value.state == "nothing was changed"
        assert refused.value.hint is not None and "name" in refused.value.hint
    assert bank.state() == stands
    assert neighbour.events == []
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged()


def test_neither_lists_resumes_or_pauses_runs_of_the_other(bank: Bank, neighbour: Journey) -> None:
    bank.plan(FIRST)
    bank.journey.killed("apply", "committing", "after")
    neighbour.write(FIRST, {"pay.sql": PAY}, change=OTHER)
    (run,) = {entry.event.run for entry in bank.journey.journal()}

    assert [one.change for one in pipeline.status(neighbour.repository, "sandbox").changes] == []
    for command in (neighbour.resume, lambda name: pipeline.pause(neighbour.repository, name)):
        with pytest.raises(UsageError, match="no journal knows a run"):
            command(run)
    assert neighbour.apply(change=OTHER).result is Result.DONE
    assert [one.change for one in pipeline.status(neighbour.repository, "sandbox").changes] == [OTHER]
    assert [one.change for one in pipeline.status(bank.journey.repository, "sandbox").changes] == [CHANGE]
    assert bank.journey.resume(run).result is Result.DONE


def test_the_journal_says_which_repository_each_run_is_of_and_is_read_and_verified_whole(
    bank: Bank, neighbour: Journey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bank.plan(FIRST)
    neighbour.write(FIRST, {"pay.sql": PAY}, change=OTHER)
    bank.journey.apply()
    neighbour.apply(change=OTHER)
    bank.journey.rollback()
    starts = (EventKind.RUN_STARTED, EventKind.UNDO_STARTED)
    told = [entry.event.data["repo"] for entry in neighbour.journal() if entry.event.kind in starts]
    assert told == [OURS, THEIRS, OURS]
    monkeypatch.chdir(neighbour.git.path)
    assert main(["audit", "verify", "--env", "sandbox"]) == 0
    capsys.readouterr()


def test_a_role_that_may_not_read_the_journal_is_told_who_may(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, not that of a run that was rolled back."""
    bank.plan(FIRST)
    bank.journey.apply()
    bank.sql("CREATE ROLE okto_reader")
    try:
        monkeypatch.setenv("OKTO_RECORDS_DSN", f"{bank.ledger} options='-c role=okto_reader'")
        monkeypatch.chdir(bank.journey.git.path)
        for command in ("log", "verify"):
            assert main(["audit", command, "--env", "sandbox"]) == 1
            said = " ".join(capsys.readouterr().err.split())
            assert "this role may not read the journal" in said and "the owner of schema okto_change" in said
        assert main(["audit", "verify", "--env", "sandbox", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["error"]["type"] == "AccessDenied"
    finally:
        bank.sql("DROP ROLE okto_reader")
