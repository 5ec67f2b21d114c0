"""Invented results, as the pages' tests show them: a good rehearsal, one that fails, a ballot, an outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from okto_change.model import (
    AutoUndo,
    Ballot,
    BallotLine,
    CheckResult,
    Count,
    DecisionRequest,
    DryRun,
    EditPreview,
    EditStep,
    Finding,
    Lock,
    LockTaken,
    Need,
    Outcome,
    Phase,
    PolicyCheck,
    PolicySigned,
    Quality,
    Rehearsal,
    Result,
    ReviewDebt,
    Risk,
    RowBound,
    RowChange,
    Severity,
    SqlStep,
    Statement,
    StatementKind,
    StatementPreview,
    StatementResult,
    TableWrites,
    Timeouts,
    TrustView,
    UndoPreview,
    UndoProof,
    Where,
)

CHANGE = "2026-11-22-release-stuck-settlements"
TITLE = "Release settlements stuck in PENDING after the acquirer timeout"
DIGEST = "sha256:5c2a7f0e9b1d43c68f7e5a2b90c1d4e83f6a7b8c9d0e1f2a3b4c5d6e7f809a1b"
AT = datetime(2026, 11, 22, 2, 14, 9, tzinfo=UTC)
PLAN = f"changes/{CHANGE}/plan.yaml"
SQL = f"changes/{CHANGE}/release.sql"
RELEASE = """UPDATE settlements
   SET status = 'RELEASED', released_at = '2026-11-22T02:00:00Z'
 WHERE merchant_id = 42
   AND status = 'PENDING'   -- só as da janela
   AND created_at <@ '[2026-11-22T09:10Z,2026-11-22T09:14Z]'::tstzrange;
"""
EVENTS = """INSERT INTO settlement_events (settlement_id, kind, note)
SELECT id, 'released', 'INC-2031' FROM settlements WHERE merchant_id = 42 AND status = 'RELEASED';
"""
DIFF = """--- acquirers.yaml
+++ acquirers.yaml
@@ -3,5 +3,4 @@
 acquirers:
   north:
-    timeout_ms: 3000   # agreed with North in May
+    timeout_ms: 8000   # agreed with North in May
-    legacy_retry: true
     url: https://north.example/v2
"""


def statement(index: int, text: str, kind: StatementKind, writes: tuple[str, ...], line: int) -> Statement:
    """One statement of the step `release`."""
    return Statement(
        step="release",
        index=index,
        start=0,
        end=len(text.encode()),
        text=text,
        where=Where(file=SQL, line=line),
        kind=kind,
        reads=("settlements",),
        writes=writes,
        columns=(),
    )


STEPS = (
    SqlStep(
        name="release",
        target="ledger",
        source="release.sql",
        sql=RELEASE + EVENTS,
        rows=(RowBound(minimum=37, maximum=37),),
        touches=("settlements", "settlement_events"),
        undo=AutoUndo(),
        batch=None,
        timeouts=Timeouts(),
        where=Where(file=PLAN, line=12),
    ),
    EditStep(
        name="acquirer timeout",
        target="routing",
        file="acquirers.yaml",
        set=((("acquirers", "north", "timeout_ms"), 8000),),
        remove=(("acquirers", "north", "legacy_retry"),),
        validate=None,
        undo=AutoUndo(),
        where=Where(file=PLAN, line=20),
    ),
)
STATEMENTS = (
    statement(0, RELEASE, StatementKind.UPDATE, ("settlements",), 1),
    statement(1, EVENTS, StatementKind.INSERT, ("settlement_events",), 6),
)
EDIT = EditPreview(
    step="acquirer timeout",
    target="routing",
    file="acquirers.yaml",
    diff=DIFF,
    changes=(("acquirers.north.timeout_ms", 3000, 8000), ("acquirers.north.legacy_retry", True, None)),
    before_sha256="a" * 64,
    after_sha256="b" * 64,
)
WARNING = Finding(
    code="W014",
    title="volatile function",
    severity=Severity.WARNING,
    where=Where(file=SQL, line=2),
    message="now() gives another value when the plan runs than it gave in the dry run.",
    effect="What was reviewed is not exactly what will be written.",
    remedy="Write the moment as a parameter of type timestamptz.",
)


def settled(number: int) -> RowChange:
    """One settlement that goes from PENDING to RELEASED."""
    return RowChange(
        table="settlements",
        key={"id": str(1040 + number)},
        columns={"status": ("PENDING", "RELEASED"), "released_at": (None, "2026-11-22 02:00:00+00")},
        before=f"({1040 + number},PENDING,)",
        after=f"({1040 + number},RELEASED,2026-11-22)",
    )


def inserted(number: int) -> RowChange:
    """One new event, with a card number that must not be shown."""
    return RowChange(
        table="settlement_events",
        key={"id": str(number)},
        columns={},
        before=None,
        after=f'({number},{1040 + number},released,"card 4111 1111 1111 1111")',
    )


REHEARSAL = Rehearsal(
    at=AT,
    milliseconds=212,
    statements=(
        StatementResult(
            step="release",
            index=0,
            rows=37,
            milliseconds=12,
            locks=(
                LockTaken(relation="settlements", mode="RowExclusiveLock"),
                LockTaken(relation="settlements_pkey", mode="RowExclusiveLock"),
            ),
        ),
        StatementResult(
            step="release",
            index=1,
            rows=37,
            milliseconds=8,
            locks=(LockTaken(relation="settlement_events", mode="RowExclusiveLock"),),
        ),
    ),
    writes=(
        TableWrites(table="settlements", inserted=0, updated=37, deleted=0, imaged=37, declared=True),
        TableWrites(table="settlement_events", inserted=37, updated=0, deleted=0, imaged=37, declared=True),
    ),
    rows=tuple(settled(number) for number in range(12)) + tuple(inserted(number) for number in range(3)),
    checks=(
        CheckResult(name="the stuck ones are there", phase=Phase.BEFORE, passed=True, expected="37", found="37"),
        CheckResult(name="none left pending", phase=Phase.INSIDE, passed=True, expected="0", found="0"),
        CheckResult(
            name="ledger balances",
            phase=Phase.INVARIANT,
            passed=True,
            expected="(BRL, 0.00), (USD, 0.00)",
            found="(BRL, 0.00), (USD, 0.00)",
        ),
    ),
    undo=UndoProof(proven=True, rows=74, identical=74),
    left_behind=("sequence settlement_events_id_seq moved on by 37", "about 111 dead rows, 48 kB of WAL"),
)
GOOD = DryRun(
    change=CHANGE,
    environment="production",
    title=TITLE,
    digest=DIGEST,
    at=AT,
    findings=(WARNING,),
    risk=Risk.MEDIUM,
    risk_reasons=("writes 2 tables", "edits a configuration that routes payments"),
    statements=STATEMENTS,
    previews=(
        StatementPreview(
            step="release",
            index=0,
            table="settlements",
            rows=(settled(1),),
            count=Count(rows=37, quality=Quality.ESTIMATED),
        ),
    ),
    edits=(EDIT,),
    rehearsal=REHEARSAL,
    facts={"ledger": {"database": "payments"}},
    facts_sha256="c" * 64,
    steps=STEPS,
)
STATIC = replace(GOOD, rehearsal=None)
FAILED = replace(
    GOOD,
    findings=(replace(WARNING, code="E002", title="no WHERE", severity=Severity.ERROR),),
    rehearsal=replace(
        REHEARSAL,
        writes=(
            *REHEARSAL.writes,
            TableWrites(table="audit_log", inserted=37, updated=0, deleted=0, imaged=0, declared=False),
        ),
        checks=(
            CheckResult(
                name="ledger balances",
                phase=Phase.INVARIANT,
                passed=False,
                expected="(BRL, 0.00)",
                found="(BRL, -37.00)",
            ),
        ),
        undo=UndoProof(
            proven=False, rows=74, identical=70, reason="4 rows of settlements came back with another updated_at"
        ),
    ),
)
LOCK = Lock(
    content=b"{}\n",
    digest=DIGEST,
    repo="7d1f2f9a",
    change=CHANGE,
    environment="production",
    title=TITLE,
    author="ana",
    steps=STEPS,
    statements=STATEMENTS,
    checks=(),
    risk=Risk.MEDIUM,
    risk_reasons=("writes 2 tables",),
    objects=(),
)
DEBT = ReviewDebt(
    change=CHANGE,
    environment="production",
    statement="ab" * 32,
    digest=DIGEST,
    signer="ana",
    incident="INC-42",
    reason="payments are down",
    at=AT,
    due=AT,
    needs=(Need(group="approvers", have=0, need=1, candidates=("bruno",)),),
)
BALLOT = Ballot(
    change=CHANGE,
    environment="production",
    digest=DIGEST,
    cleared=False,
    blocks=(),
    decisions=(
        BallotLine(
            file="ana-submit-0123456789ab.signed",
            signer="ana",
            decision="submit",
            counted=True,
            reason="author's submission of this digest",
            issued_at=AT,
        ),
        BallotLine(
            file="ana-approve-0123456789ab.signed",
            signer="ana",
            decision="approve",
            counted=False,
            reason="the author cannot approve her own change",
            issued_at=AT,
        ),
    ),
    needs=(Need(group="approvers", have=0, need=1, candidates=("bruno", "carla")),),
)
REQUEST = DecisionRequest(
    decision="approve",
    change=CHANGE,
    environment="production",
    person="bruno",
    incident="INC-2031",
    lock=LOCK,
    reason="The acquirer timed out between 09:10 and 09:14 UTC; 37 settlements never left PENDING.\n",
    dry_run=GOOD,
    ballot=BALLOT,
    warnings=("the dry run is 3 days old",),
)
DONE = Outcome(
    result=Result.DONE,
    run="20261122T021409-3f2a",
    summary="applied",
    state="74 rows changed in 2 tables",
    hint=f"okto-change rollback {CHANGE} --env production",
    writes=REHEARSAL.writes,
    checks=REHEARSAL.checks,
)

TRUST = TrustView(
    repo="7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f",
    url="git@forge.example:payments/changes.git",
    protected_ref="refs/heads/main",
    version=2,
    fingerprint="7f3a 91c2 e0d5 1b7b 9c1d 2e3f 4a5b 6c7d 8e9f 0a1b",
    quorum=2,
    pin_file="/etc/okto-change/trust.yaml",
    system=True,
    pinned_version=1,
    pinned_fingerprint="e0d5 91c2 7f3a 1b7b 9c1d 2e3f 4a5b 6c7d 8e9f 0a1b",
    fetched_at=AT,
)
POLICY_CHECK = PolicyCheck(
    file=".okto-change/policy/0002.yaml",
    version=2,
    old=1,
    differences=("group approvers: carla joined",),
    effects=("production, high risk: 1 of approvers (bruno) -> 2 of approvers (bruno, carla)",),
    warnings=("production, high risk: what carla wrote cannot be approved",),
    lacking=(),
)
POLICY_SIGNED = PolicySigned(
    version=2, person="ana", path=".okto-change/policy/0002.ana.sig", lacking=("2 must sign, 1 did",)
)
AHEAD = UndoPreview(
    change=CHANGE,
    environment="production",
    run="20261122T021409-3f2a",
    redo=False,
    steps=("acquirer timeout", "release"),
    writes=REHEARSAL.writes,
    rows=REHEARSAL.rows,
    checks=REHEARSAL.checks,
    notes=("sequence s set back to 7",),
    edits=(
        (
            "acquirers.yaml",
            "--- a/acquirers.yaml\n+++ b/acquirers.yaml\n@@ -1 +1 @@\n-timeout_ms: 8000\n+timeout_ms: 5000\n",
        ),
    ),
)
CONFLICT_AHEAD = replace(AHEAD, conflicts=("public.settlements (id=1040): changed since: status",))
