"""What only the target can tell: rows 13, 14, 16, 45, 47, 48 and the ledger's part of 22 and 49. On real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256

import psycopg
import pytest

from okto_change import digest
from tests.attacks.stage import CHANGE, FOLDER, LOCK, POLICY, TABLE, Stage
from tests.plugins.server import Cluster

WARM = True
APPLY = ("apply", CHANGE, "--env", "prod", "--yes")


@pytest.fixture(scope="module")
def emptied(server: Cluster) -> Iterator[str]:
    """Return a database with the table of settlements, for copying."""
    name = server.create()
    with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
        connection.execute(TABLE.encode())
    yield name
    server.drop(name)


@pytest.fixture
def ledger(stage: Stage, server: Cluster, emptied: str) -> Iterator[Stage]:
    """Return a world with a database, in which everything is approved."""
    name = server.create(emptied)
    stage.variables["PROD_LEDGER"] = server.conninfo(name)
    stage.approve("bruno")
    yield stage
    server.drop(name)


def rows(stage: Stage) -> str:
    """Return which settlements are settled."""
    with psycopg.connect(stage.variables["PROD_LEDGER"]) as connection:
        found = connection.execute(
            "SELECT string_agg(id::text, ',' ORDER BY id) FROM settlements WHERE status <> 'PENDING'"
        )
        return str((found.fetchone() or [None])[0])


def test_row_13_the_same_approvals_serve_twice(ledger: Stage) -> None:
    """The ledger in the target has used them up, on whatever machine it is tried again."""
    ledger.cleared(*APPLY, person="eva")
    assert rows(ledger) == "1"
    ledger.cleared("rollback", CHANGE, "--env", "prod", "--yes", person="eva")
    assert rows(ledger) == "None"
    ledger.refused("an earlier run used it; approvals count once", command=APPLY, person="eva")
    assert rows(ledger) == "None"
    ledger.publish(ledger.signed("carla", "approve", "owners", age=20))
    ledger.approve("bruno", age=20)
    ledger.cleared(*APPLY, person="eva")
    assert rows(ledger) == "1"


def test_row_14_another_database_stands_behind_the_name(ledger: Stage, server: Cluster, emptied: str) -> None:
    """Another cluster's identifier, another name: refused at connecting. The identity in the policy is in the lock."""
    with psycopg.connect(ledger.variables["PROD_LEDGER"]) as connection:
        name, system = connection.execute(
            "SELECT current_database(), (SELECT system_identifier::text FROM pg_control_system())"
        ).fetchone() or ("", "")
    entry = "{ledger: {postgres: {dsn_env: PROD_LEDGER}}}"
    told = f'{{ledger: {{postgres: {{dsn_env: PROD_LEDGER}}, database: {name}, system_identifier: "{system}"}}}}'
    ledger.edit(POLICY, entry, told)
    ledger.lock()
    ledger.publish(ledger.signed("ana", "submit"), ledger.signed("carla", "approve", "owners"))
    ledger.approve("bruno")
    right, other = ledger.variables["PROD_LEDGER"], server.create(emptied)
    ledger.variables["PROD_LEDGER"] = server.conninfo(other)
    answer = ledger.okto(*APPLY, person="eva")
    assert answer.code in (1, 3), answer.said
    assert other in answer.err and name in answer.err
    assert rows(ledger) == "None"
    ledger.variables["PROD_LEDGER"] = right
    server.drop(other)
    ledger.cleared(*APPLY, person="eva")
    assert rows(ledger) == "1"


def test_row_16_the_clocks_of_runner_and_target_differ(ledger: Stage) -> None:
    """A runner whose clock was set back could make expired approvals count again: the target's clock is asked too.

    Two clocks on one machine are one: here the target's is replaced by a function before the search path's own.
    """
    ledger.approve("bruno", age=8 * 3600 - 30)
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("CREATE SCHEMA evil")
        connection.execute(
            "CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT now() - interval '9 h'$$"
        )
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = evil, pg_catalog, public")
    ledger.cleared(*APPLY, person="eva")
    assert rows(ledger) == "1"


def test_row_22_and_49_the_ledger_remembers_a_newer_policy(ledger: Stage) -> None:
    """Somebody who hides a new version from a fresh machine: the target has seen what runs went by."""
    ledger.cleared(*APPLY, person="eva")
    ledger.cleared("rollback", CHANGE, "--env", "prod", "--yes", person="eva")
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("UPDATE okto_change.trust_state SET policy_version = 2")
    ledger.publish(ledger.signed("ana", "submit"), ledger.signed("carla", "approve", "owners", age=20))
    ledger.approve("bruno", age=20)
    ledger.refused("a run went by version 2 of the policy here, and this is version 1", command=APPLY, person="eva")
    assert rows(ledger) == "None"
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("UPDATE okto_change.trust_state SET policy_version = 1")
    ledger.cleared(*APPLY, person="eva")


def test_row_45_files_are_swapped_between_verifying_and_running(ledger: Stage) -> None:
    """What was verified runs from memory: the working tree, the index and HEAD may say what they like.

    The clone's files are others than the approved ones all the while; the moments between cannot be timed from outside, and
    need not be: nothing is read a second time.
    """
    ledger.write({f"{FOLDER}/fix.sql": "DELETE FROM settlements;\n", LOCK: "{}\n"})
    ledger.git("add", "--all")
    ledger.git("commit", "--quiet", "--message", "Swap")
    ledger.cleared(*APPLY, person="eva")
    assert rows(ledger) == "1"


@pytest.fixture
def rehearsed(ledger: Stage) -> Stage:
    """Return a world in which production requires a dry run, with one stored, submitted and approved by all but Bruno."""
    ledger.edit(POLICY, "PROD_LEDGER}}}\n    dry_run: optional", "PROD_LEDGER}}}\n    dry_run: required")
    ledger.cleared("dry-run", CHANGE, "--env", "prod")
    ledger.commit("Rehearse")
    for person, decision in (("ana", "submit"), ("davi", "approve")):
        yes = ("--yes", CHANGE) if decision == "approve" else ()
        ledger.cleared(decision, CHANGE, "--env", "prod", *yes, person=person)
    return ledger


def test_row_47_the_database_changed_since_the_dry_run(rehearsed: Stage) -> None:
    """Another trigger, another column: what was approved is not what would run."""
    rehearsed.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person="bruno")
    with psycopg.connect(rehearsed.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("ALTER TABLE settlements ADD COLUMN fee numeric DEFAULT 7")
    said = rehearsed.refused("the target is not what the dry run saw", command=APPLY, person="eva")
    assert "fee" in said
    assert rows(rehearsed) == "None"
    with psycopg.connect(rehearsed.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("ALTER TABLE settlements DROP COLUMN fee")
    rehearsed.cleared("dry-run", CHANGE, "--env", "prod")
    rehearsed.commit("Rehearse again")
    for person, decision in (("ana", "submit"), ("davi", "approve"), ("bruno", "approve")):
        yes = ("--yes", CHANGE) if decision == "approve" else ()
        rehearsed.cleared(decision, CHANGE, "--env", "prod", *yes, person=person)
    rehearsed.cleared(*APPLY, person="eva")
    assert rows(rehearsed) == "1"


def test_row_48_the_author_forges_the_dry_run(rehearsed: Stage) -> None:
    """Another report than the one approved voids approvals; forged facts are found out at the start of the run.

    What nobody finds out is a nicer figure in a report that is approved with it; the plan's own bounds hold in the run.
    """
    path = next(
        path
        for path in (rehearsed.work / FOLDER).rglob("*.json")
        if "dry" in str(path.relative_to(rehearsed.work / FOLDER))
    )
    name = str(path.relative_to(rehearsed.work))
    honest = path.read_text()
    rehearsed.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person="bruno")
    rehearsed.commit("Nicer", {name: honest.replace('"at": "2026', '"at": "2025')})
    assert path.read_text() != honest
    rehearsed.refused("dba: 1 more", "it was given on another dry run than the one stored now")
    for gone in (None, honest.replace('"facts"', '"fact"')):
        rehearsed.commit("Nothing to compare with", {name: gone})
        rehearsed.refused("is not stored any more, or is damaged", command=APPLY, person="eva")
        rehearsed.refused("is not stored any more, or is damaged")
    forged = json.loads(honest)["dry_run"]
    forged["facts"]["ledger"]["database"] = "another"
    forged["facts_sha256"] = sha256(digest.canonical(forged["facts"])).hexdigest()
    rehearsed.commit("Of another database", {name: digest.canonical(json.loads(honest) | {"dry_run": forged})})
    for person in ("davi", "bruno"):
        rehearsed.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person=person)
    rehearsed.refused("the target is not what the dry run saw", command=APPLY, person="eva")
    assert rows(rehearsed) == "None"
    rehearsed.commit("As it was", {name: honest})
    for person in ("davi", "bruno"):
        rehearsed.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person=person)
    rehearsed.cleared(*APPLY, person="eva")
    assert rows(rehearsed) == "1"


REPORT = f"{FOLDER}/dryruns/prod.json"
NICER = {"milliseconds": 1, "failure": None}


def test_row_48_a_dry_run_that_must_be_signed(rehearsed: Stage) -> None:
    """Where the policy names who makes dry runs, nobody submits, approves or runs on the author's word for one."""
    rehearsed.edit(POLICY, "engineers: [ana, eva]", "engineers: [ana, eva]\n  ci: [eva]")
    rehearsed.edit(POLICY, "dry_run: required", "dry_run: {signers: [ci]}")
    approve = ("approve", CHANGE, "--env", "prod", "--yes", CHANGE)
    unsigned = "prod asks for a dry run signed by ci; of the one that is stored, it is not signed"
    rehearsed.refused(unsigned, command=("submit", CHANGE, "--env", "prod"), person="ana", code=1)
    rehearsed.refused(unsigned, "dry-run fix-settlements --env prod --sign", command=approve, person="bruno", code=1)
    rehearsed.refused(f"step 11 (dry run): {unsigned}")
    rehearsed.approve("bruno", dry_run_facts_sha256=facts(rehearsed), dry_run_report_sha256=report_digest(rehearsed))
    rehearsed.refused(f"step 11 (dry run): {unsigned}", command=APPLY, person="eva")
    own = ("dry-run", CHANGE, "--env", "prod", "--sign")
    rehearsed.refused("signed by ana, who wrote this change, would not count", command=own, person="ana")
    rehearsed.refused("signed by bruno, who is not in ci, would not count", command=own, person="bruno")
    honest = (rehearsed.work / REPORT).read_bytes()
    for person, why in (("ana", "ana signed it"), ("mallory", "it is signed with the unknown key")):
        rehearsed.commit("Sign it myself", {f"{REPORT}.sig": armor(rehearsed, honest, person)})
        rehearsed.refused(why, command=approve, person="bruno", code=1)
    rehearsed.commit("Another namespace", {f"{REPORT}.sig": armor(rehearsed, honest, "eva", "decision@okto-change")})
    rehearsed.refused("its signature does not hold", command=approve, person="bruno", code=1)
    assert "signed by eva" in rehearsed.cleared(*own, person="eva")
    signed, signature = ((rehearsed.work / name).read_bytes() for name in (REPORT, f"{REPORT}.sig"))
    page = json.loads(signed)
    page["dry_run"]["rehearsal"] |= NICER
    rehearsed.commit("A nicer figure", {REPORT: digest.canonical(page), f"{REPORT}.sig": signature})
    rehearsed.refused("its signature does not hold", command=approve, person="bruno", code=1)
    rehearsed.commit("As it was signed", {REPORT: signed})
    rehearsed.cleared("submit", CHANGE, "--env", "prod", person="ana")
    for person in ("davi", "bruno"):
        assert "signed by eva" in rehearsed.cleared(*approve, person=person)
    rehearsed.cleared()
    assert rows(rehearsed) == "None"
    rehearsed.cleared(*APPLY, person="eva")
    assert rows(rehearsed) == "1"


def test_row_48_a_dry_run_that_somebody_made_again_is_not_signed_by_the_old_signature(rehearsed: Stage) -> None:
    """A report that its author makes anew loses the signature of the one before, and says so."""
    rehearsed.edit(POLICY, "engineers: [ana, eva]", "engineers: [ana, eva]\n  ci: [eva]")
    rehearsed.edit(POLICY, "dry_run: required", "dry_run: {signers: [ci]}")
    rehearsed.cleared("dry-run", CHANGE, "--env", "prod", person="eva")
    assert (rehearsed.work / f"{REPORT}.sig").exists()
    said = rehearsed.cleared("dry-run", CHANGE, "--env", "prod", person="ana")
    assert "not signed, and this environment asks for it: a dry run signed by ana, who wrote this change" in said
    assert not (rehearsed.work / f"{REPORT}.sig").exists()


def armor(stage: Stage, content: bytes, person: str, namespace: str = "dry-run@okto-change") -> bytes:
    """Return a signature by hand."""
    return stage.sign(content, person, namespace).removeprefix(content)


def report_digest(stage: Stage) -> str:
    """Return the digest of the stored dry run."""
    return sha256((stage.work / REPORT).read_bytes()).hexdigest()


def facts(stage: Stage) -> str:
    """Return the digest of the facts in the stored dry run."""
    return str(json.loads((stage.work / REPORT).read_bytes())["dry_run"]["facts_sha256"])
