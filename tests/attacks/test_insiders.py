"""Insiders with the installed command: an engineer who wants to run alone, somebody on call alone. Each with its twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from okto_change.approval import statement
from okto_change.database import state
from okto_change.database.session import connect
from okto_change.journal.store import Journal
from okto_change.model import Event, EventKind
from tests.attacks.stage import CHANGE, FOLDER, POLICY, TABLE, Stage, a_later_second
from tests.plugins.server import Cluster

WARM = True
APPLY = ("apply", CHANGE, "--env", "prod", "--yes")
ROLLBACK = ("rollback", CHANGE, "--env", "prod", "--yes")
TRIGGER = """\
CREATE TABLE ledger_entries (settlement bigint, note text);
CREATE FUNCTION book() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO ledger_entries VALUES (new.id, new.status); RETURN new; END$$;
CREATE TRIGGER book AFTER UPDATE ON settlements FOR EACH ROW EXECUTE FUNCTION book();
"""


@pytest.fixture
def ledger(stage: Stage, server: Cluster) -> Iterator[Stage]:
    """Return a world with a database, in which everything is approved."""
    name = server.create()
    stage.variables["PROD_LEDGER"] = server.conninfo(name)
    with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
        connection.execute(TABLE.encode())
    stage.approve("bruno")
    yield stage
    server.drop(name)


def ask(stage: Stage, query: str) -> object:
    """Return the first value of a query."""
    with psycopg.connect(stage.variables["PROD_LEDGER"]) as connection:
        return (connection.execute(query.encode()).fetchone() or [None])[0]


def settled(stage: Stage) -> object:
    """Return how many settlements are settled."""
    return ask(stage, "SELECT count(*) FROM settlements WHERE status <> 'PENDING'")


def test_somebody_who_may_not_run_takes_nothing_back_either(ledger: Stage) -> None:
    """Taking a change of weeks ago back is a change that nobody approved: it is for those who may run here."""
    ledger.edit(POLICY, "    submit: [engineers]\n", "    submit: [engineers]\n    execute: {groups: [security]}\n")
    ledger.refused("eva is in none of the groups that may execute here", command=APPLY, person="eva")
    ledger.cleared(*APPLY, person="davi")
    assert settled(ledger) == 1
    for person in ("ana", "eva"):
        ledger.refused(f"{person} is in none of the groups that may execute in prod", command=ROLLBACK, person=person)
    answer = ledger.okto(*ROLLBACK, person="mallory")
    assert answer.code == 3, answer.said
    assert settled(ledger) == 1
    ledger.cleared(*ROLLBACK, person="davi")
    assert settled(ledger) == 0


def test_a_trigger_writes_what_a_rule_guards(ledger: Stage) -> None:
    """An author who leaves `touches:` out would pass the rule for the ledger: without it, every rule by objects matches."""
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute(TRIGGER.encode())
    guard = '{id: ledger, when: {objects: ["ledger_*"]}, require: {security: 1}}'
    ledger.edit(POLICY, "  - {id: staging,", f"  - {guard}\n  - {{id: staging,")
    ledger.edit(f"{FOLDER}/plan.yaml", ", touches: [settlements]", "")
    approve(ledger)
    ledger.refused("step 7 (approvals): security: 1 more", command=APPLY, person="eva")
    assert settled(ledger) == 0
    ledger.edit(f"{FOLDER}/plan.yaml", "rows: 1,", "rows: 1, touches: [settlements],")
    approve(ledger)
    ledger.cleared()
    answer = ledger.okto(*APPLY, person="eva")
    assert answer.code == 4 and "ledger_entries" in answer.said, answer.said
    assert settled(ledger) == 0
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("DROP TRIGGER book ON settlements")
    approve(ledger)
    ledger.cleared(*APPLY, person="eva")
    assert settled(ledger) == 1


def test_an_undo_script_writes_what_a_rule_guards(stage: Stage) -> None:
    """What the change itself leaves alone, its undo would write for whoever takes it back: the rule asks for both."""
    guard = '{id: ledger, when: {objects: ["ledger_*"]}, require: {security: 1}}'
    stage.edit(POLICY, "  - {id: staging,", f"  - {guard}\n  - {{id: staging,")
    honest = (stage.work / f"{FOLDER}/fix.undo.sql").read_text()
    for script in ("UPDATE ledger_entries SET note = 'x' WHERE settlement = 1;\n", "DO $$BEGIN NULL; END$$;\n"):
        stage.commit("Undo", {f"{FOLDER}/fix.undo.sql": honest + script})
        approve(stage)
        stage.refused("step 7 (approvals): security: 1 more")
    stage.commit("Undo", {f"{FOLDER}/fix.undo.sql": honest})
    approve(stage)
    stage.cleared()


@pytest.mark.parametrize(
    "variables",
    [{"PGOPTIONS": "-c search_path=archive"}, {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "ISO, DMY"}],
    ids=["search_path", "dates"],
)
def test_variables_of_whoever_runs_it_do_not_say_what_sql_means(ledger: Stage, variables: dict[str, str]) -> None:
    """Which table a name means, and which moment a date: as for everybody else who connects to this database."""
    with psycopg.connect(ledger.variables["PROD_LEDGER"], autocommit=True) as connection:
        connection.execute("CREATE SCHEMA archive")
        connection.execute("CREATE TABLE archive.settlements AS SELECT id, 'KEPT' AS status FROM public.settlements")
        connection.execute("ALTER TABLE settlements ADD COLUMN at timestamptz DEFAULT '2026-02-01T00:00Z'")
    ledger.edit(f"{FOLDER}/fix.sql", ";", " AND at = '02/01/2026 00:00';")
    approve(ledger)
    ledger.variables |= variables
    ledger.cleared(*APPLY, person="eva")
    assert settled(ledger) == 1
    assert ask(ledger, "SELECT count(*) FROM archive.settlements WHERE status <> 'KEPT'") == 0


@pytest.fixture
def audited(ledger: Stage, server: Cluster) -> Iterator[Stage]:
    """Return the same with a journal in a database of its own, and another database of the attacker's."""
    names = [server.create(), server.create()]
    ledger.variables |= {"PROD_AUDIT": server.conninfo(names[0]), "EVIL_AUDIT": server.conninfo(names[1])}
    targets = "targets: {ledger: {postgres: {dsn_env: PROD_LEDGER}}"
    ledger.edit(
        POLICY, f"{targets}}}", f"{targets}, audit: {{postgres: {{dsn_env: PROD_AUDIT}}}}}}\n    journal: audit"
    )
    yield ledger
    for name in names:
        server.drop(name)


def test_a_journal_tells_of_a_run_that_nobody_cleared(audited: Stage) -> None:
    """Whoever chooses the journal's database could have it tell of a start, and resume that: decisions are looked up in git."""
    (approval,) = [name for name, file in audited.decisions().items() if b'"signer": "bruno"' in file]
    honest = audited.decisions()[approval]
    audited.cleared("revoke", CHANGE, "--env", "prod", "--yes", CHANGE, person="bruno")
    run = "20261123-020000-7f3a"
    tell(audited, [started(audited, run, eva=[statement.identify(statement.split(honest)[0])])])
    audited.refused("stopped: bruno withdrew", command=("resume", run), person="eva")
    other = "20261123-020000-8f3a"
    tell(audited, [started(audited, other, eva=[])])
    audited.refused(
        "the decisions that this run of fix-settlements was started by do not clear it",
        "dba: 1 more",
        command=("resume", other),
        person="eva",
    )
    assert settled(audited) == 0
    a_later_second()  # of two decisions of one second the refusal stands
    audited.approve("bruno", age=0)
    audited.cleared("resume", other, person="eva")
    assert settled(audited) == 1


def test_a_journal_tells_of_another_plan_than_ran(audited: Stage) -> None:
    """Its undo script would run without anybody's approval: the target knows which plan that run had."""
    audited.cleared(*APPLY, person="eva")
    assert settled(audited) == 1
    real = told(audited)
    audited.edit(f"{FOLDER}/fix.undo.sql", "status = 'PENDING' WHERE id = {{ settlement }}", "status = 'STOLEN'")
    audited.lock()
    where = {"digest": audited.digest(), "commit": audited.git("rev-parse", "HEAD")}
    forged = [replace(one, data={**one.data, **where}) if one.kind is EventKind.RUN_STARTED else one for one in real]
    honest, audited.variables["PROD_AUDIT"] = audited.variables["PROD_AUDIT"], audited.variables["EVIL_AUDIT"]
    tell(audited, forged)
    audited.refused("as one of another plan than the journal does", command=ROLLBACK, person="eva")
    assert ask(audited, "SELECT count(*) FROM settlements WHERE status = 'STOLEN'") == 0
    audited.variables["PROD_AUDIT"] = honest
    audited.cleared(*ROLLBACK, person="eva")
    assert settled(audited) == 0


def started(stage: Stage, run: str, *, eva: list[str]) -> Event:
    """Return the start of a run by Eva that went by these decisions."""
    told = {"digest": stage.digest(), "commit": stage.git("rev-parse", "origin/main"), "policy_sha256": "0" * 64}
    data = told | {"person": "eva", "decisions": eva, "counted": {}, "resumed": []}
    return Event(kind=EventKind.RUN_STARTED, run=run, change=CHANGE, environment="prod", step=None, data=data)


def tell(stage: Stage, events: list[Event]) -> None:
    """Write entries into the journal that the environment names, as its owner can."""
    with connect("audit", stage.variables["PROD_AUDIT"]) as session:
        state.ensure_schema(session)
        journal = Journal(session, actor="eva")
        for event in events:
            journal.append(event)


def told(stage: Stage) -> list[Event]:
    """Return what the journal tells."""
    with connect("audit", stage.variables["PROD_AUDIT"]) as session:
        return [entry.event for entry in Journal(session, actor="eva").entries(environment="prod")]


def approve(stage: Stage) -> None:
    """Lock, submit and approve it for DBA and owners."""
    stage.lock()
    stage.publish(stage.signed("ana", "submit", age=1), stage.signed("carla", "approve", "owners", age=1))
    stage.approve("bruno", age=1)
