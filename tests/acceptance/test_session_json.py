"""A whole session as a script sees it: one JSON document a command, exit codes, and figures that agree throughout."""

from __future__ import annotations

from typing import Any

import pytest

from okto_change.demo import example
from tests.plugins.market import document, explained, query
from tests.plugins.world import Answer, Shop

WARM = True

CHANGE, ENV = example.RELEASE, ("--env", "production")
PLACE = (CHANGE, *ENV)
Session = dict[str, Answer]


@pytest.fixture(scope="module")
def session(market: Shop) -> Session:
    """Play the whole session once; return each command's answer by the name of its step."""
    said: Session = {}

    def run(step: str, person: str, *arguments: str, code: int = 0) -> None:
        said[step] = market.okto(person, *arguments, "--json", expect=code)

    run("nothing", "ana", "status", *ENV)
    example.copy_change(CHANGE, market.world.clone("ana"))
    run("check", "ana", "check", *PLACE)
    run("lock", "ana", "lock", *PLACE)
    run("lock again", "ana", "lock", *PLACE)
    run("dry-run", "ana", "dry-run", *PLACE)
    run("dirty", "ana", "submit", *PLACE, code=1)
    market.world.publish("ana", "Propose")
    run("too early", "ana", "apply", *PLACE, code=3)
    run("submit", "ana", "submit", *PLACE)
    market.world.git("bruno", "pull", "--quiet")
    run("approve", "bruno", "approve", *PLACE, "--yes", CHANGE)
    run("approvals", "bruno", "approvals", *PLACE)
    run("apply", "ana", "apply", *PLACE)
    run("apply again", "ana", "apply", *PLACE)
    run("status", "ana", "status", *ENV)
    run("show", "ana", "show", CHANGE)
    run("rollback", "ana", "rollback", *PLACE)
    run("rollback again", "ana", "rollback", *PLACE)
    run("spent", "ana", "apply", *PLACE, code=3)
    run("log", "ana", "audit", "log", *PLACE)
    run("verify", "ana", "audit", "verify", *ENV)
    run("doctor", "ana", "doctor", *ENV)
    return said


def test_every_answer_is_one_json_document_and_talk_is_on_stderr(session: Session) -> None:
    """Errors too; with the exit code inside."""
    for step, answer in session.items():
        found = document(answer)
        assert ("error" in found) == (answer.code != 0), step
        assert "kind" in found or set(found) == {"error"}, step
        assert "\x1b" not in answer.said, step
        assert found.get("error", {"exit_code": 0})["exit_code"] == answer.code, step


def test_the_digest_that_was_approved_is_the_digest_that_ran(session: Session) -> None:
    """From lock to journal."""
    digest = document(session["lock"])["digest"]
    for step in ("lock again", "dry-run", "submit", "approve", "approvals"):
        assert document(session[step])["digest"] == digest, step
    started = document(session["log"])["entries"][0]["event"]
    assert started["data"]["digest"] == digest
    assert started["data"]["person"] == "ana"


def test_locking_twice_changes_nothing(session: Session) -> None:
    """The lock is a function of its sources."""
    assert document(session["lock"])["changed"] is True
    assert document(session["lock again"])["changed"] is False


def test_the_dry_run_announces_what_apply_writes(session: Session) -> None:
    """Table by table; and its undo is proven."""
    rehearsed = document(session["dry-run"])
    assert rehearsed["ready"] is True
    assert rehearsed["rehearsal"]["undo"]["proven"] is True
    assert written(rehearsed["rehearsal"]) == written(document(session["apply"])) != []
    assert all(check["passed"] for check in document(session["apply"])["checks"])


def written(found: dict[str, Any]) -> list[tuple[str, int, int, int]]:
    """Return the rows written, a table each."""
    return [(one["table"], one["inserted"], one["updated"], one["deleted"]) for one in found["writes"]]


def test_who_must_still_sign_is_said_after_each_signature(session: Session) -> None:
    """Until nobody must."""
    assert document(session["submit"])["missing"] == ["approvers: 1 more (bruno)"]
    assert document(session["approve"])["missing"] == []
    taken = document(session["approvals"])
    assert taken["cleared"] is True
    assert [(line["signer"], line["decision"], line["counted"]) for line in taken["decisions"]] == [
        ("ana", "submit", True),
        ("bruno", "approve", True),
    ]


def test_applying_twice_names_the_run_that_applied_it(session: Session) -> None:
    """Exit code 0: what was asked for is so."""
    first, second = document(session["apply"]), document(session["apply again"])
    assert (first["result"], second["result"]) == ("done", "already applied")
    assert first["run"] == second["run"] in second["summary"]
    assert second["state"] == "nothing was changed now"


def test_status_and_show_agree_on_where_the_change_stands(session: Session) -> None:
    """With the command that takes it on."""
    assert document(session["nothing"])["changes"] == []
    (place,) = document(session["status"])["changes"]
    assert place in document(session["show"])["statuses"]
    assert (place["state"], place["run"]) == ("applied", document(session["apply"])["run"])
    assert place["next"] == f"okto-change rollback {CHANGE} --env production"


def test_rolling_back_twice_has_nothing_to_do_the_second_time(session: Session) -> None:
    """Exit code 0 both times."""
    assert document(session["rollback"])["result"] == "done"
    assert document(session["rollback again"])["result"] == "nothing to undo"


def test_approvals_count_for_one_run(session: Session) -> None:
    """After a rollback the same change needs new ones, and the refusal says so instead of 'bruno is missing' alone."""
    error = document(session["spent"])["error"]
    assert error["faults"] == [
        "step 7 (approvals): approvers: 1 more (bruno)",
        "the approval by bruno does not count: an earlier run used it; approvals count once",
    ]
    assert error["state"] == "nothing was changed"


def test_the_journal_tells_the_session_and_holds(session: Session) -> None:
    """Two runs, in order, each with its end; refused commands leave no run."""
    entries = document(session["log"])["entries"]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    kinds = [entry["event"]["kind"] for entry in entries]
    assert (kinds[0], kinds[-1]) == ("run started", "run finished")
    assert kinds.count("run started") == kinds.count("undo started") == 1
    verified = document(session["verify"])
    assert (verified["intact"], verified["entries"]) == (True, len(entries))


def test_a_head_that_was_kept_is_held_against_the_journal(market: Shop, session: Session) -> None:
    """The one that was printed holds; one that never was, and one from beyond the end, do not."""
    head = str(document(session["verify"])["head"])
    number, digest = head.split(":", 1)
    assert "the chain holds" in market.okto("ana", "audit", "verify", *ENV, "--head", head).out
    other = ("--head", f"1:{digest}", "--head", f"{int(number) + 1000}:{digest}")
    said = market.okto("ana", "audit", "verify", *ENV, *other, expect=7).out
    assert "entry 1 is not the one whose hash was kept" in said
    assert f"entry {int(number) + 1000} is missing" in said
    explained(market.okto("ana", "audit", "verify", *ENV, "--head", digest, expect=2), 2, "no head of a journal")


def test_the_doctor_finds_all_well(session: Session) -> None:
    """On the server that everything ran on."""
    assert document(session["doctor"])["well"] is True


def test_a_tampered_journal_is_found_with_exit_code_7(market: Shop, session: Session) -> None:
    """Somebody with the database's password hides who applied it."""
    assert session["verify"].code == 0
    query(market, "ALTER TABLE okto_change.entry DISABLE TRIGGER USER")
    query(market, "UPDATE okto_change.entry SET content = replace(content, '\"ana\"', '\"bob\"') WHERE number = 1")
    said = market.okto("ana", "audit", "verify", *ENV, expect=7)
    assert "JOURNAL BROKEN" in said.out and "entry 1" in said.out
    assert document(market.okto("ana", "audit", "verify", *ENV, "--json", expect=7))["intact"] is False


def test_the_text_of_a_refusal_explains_itself(market: Shop, session: Session) -> None:
    """The same facts for people."""
    assert session["dirty"].code == 1
    explained(session["dirty"], 1, "uncommitted edits", f"git add changes/{CHANGE}")
    explained(session["too early"], 3, "step 5 (submission)", "step 7 (approvals): approvers: 1 more (bruno)")
