"""A pipeline without git, keys or a server: answers with the invented results, for tests of the command line alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from okto_change.errors import NotAuthorised, Refused
from okto_change.model import (
    Analysis,
    AuditReport,
    Ballot,
    ChangePlan,
    ChangeStatus,
    ChangeView,
    CheckReport,
    Concern,
    Decided,
    DecisionRequest,
    Diagnosis,
    DryRunMade,
    Entry,
    Event,
    EventKind,
    LockWritten,
    NewChange,
    Outcome,
    PauseAsked,
    Result,
    ReviewDebt,
    Reviews,
    StatusBoard,
    UndoPreview,
)
from tests.unit.report import samples

Watch = Callable[[Event], None]

PLAN = ChangePlan(
    change=samples.CHANGE,
    title=samples.TITLE,
    reason="A timeout.",
    incident=None,
    author="ana",
    risk=None,
    parameters=(),
    per_environment={},
    steps=samples.STEPS,
    checks=(),
)
ANALYSIS = Analysis(
    statements=samples.STATEMENTS,
    findings=(samples.WARNING,),
    risk=samples.LOCK.risk,
    risk_reasons=(),
    objects=(),
)
Played = tuple[tuple[EventKind, str | None, dict[str, Any]], ...]
EVENTS: Played = (
    (EventKind.RUN_STARTED, None, {}),
    (EventKind.STEP_STARTED, "release", {"target": "ledger"}),
    (EventKind.STATEMENT_DONE, "release", {"index": 0, "rows": 37, "milliseconds": 12}),
    (EventKind.COMMITTING, "release", {"target": "ledger"}),
    (EventKind.COMMITTED, "release", {"target": "ledger"}),
    (EventKind.RUN_FINISHED, None, {"result": "done"}),
)


class Opened(tuple[Path, str | None]):
    """What the commands open, and close."""

    def close(self) -> None:
        """Nothing runs."""

    def prepare_apart(self, modules: tuple[str, ...]) -> None:
        """Nothing is got ready."""

    def apart(self, work: Callable[..., Any], *given: Any) -> Any:
        """Do it here."""
        return work(*given)


def open_repository(path: Path, key: str | None, tell: Callable[[str], None], *, ahead: str | None) -> Opened:
    """What the commands pass on."""
    return Opened((path, key))


def init(path: Path, *, name: str | None, person: str | None, key: str | None, sandbox: bool) -> tuple[str, ...]:
    """Two files."""
    return ".okto-change/policy/0001.yaml", "changes/README.md"


def new(repo: Any, title: str, *, template: str, parameters: dict[str, str], incident: str | None) -> NewChange:
    """Echo what was asked for."""
    return NewChange(change=samples.CHANGE, paths=(f"{title} {template} {parameters} {incident}", str(repo)))


def check(repo: Any, change: str, environment: str | None) -> CheckReport:
    """One warning."""
    return CheckReport(plan=PLAN, analysis=ANALYSIS, environments=(environment,) if environment else ())


def lock(repo: Any, change: str, environment: str) -> LockWritten:
    """A lock that was just written."""
    return LockWritten(lock=samples.LOCK, path=f"changes/{samples.CHANGE}/locks/production.json", changed=True)


def dry_run(repo: Any, change: str, environment: str, *, static: bool, sign: bool, watch: Watch) -> DryRunMade:
    """Good, static, or failed for a change called so."""
    _play(watch, EVENTS[:3])
    page = samples.FAILED if change == "failed" else samples.STATIC if static else samples.GOOD
    return DryRunMade(dry_run=page, paths=("dryruns/production.json",), signed_by="ci" if sign else None)


def decide(
    repo: Any,
    change: str,
    environment: str,
    decision: str,
    *,
    comment: str,
    of: str,
    confirm: Callable[[DecisionRequest], bool],
) -> Decided:
    """Sign nothing."""
    if not confirm(replace(samples.REQUEST, decision=decision)):
        raise Refused("the person said no")
    return Decided(file=f"bruno-{decision}-0123456789ab.signed", digest=samples.DIGEST, missing=())


def approvals(repo: Any, change: str, environment: str, *, to_run: bool = False) -> Ballot:
    """Not cleared, or cleared for a change called so."""
    return replace(samples.BALLOT, cleared=change == "cleared")


@dataclass
class Emergency:
    """As in the pipeline."""

    incident: str
    reason: str


def verify(repo: Any, change: str, environment: str) -> Ballot:
    """Cleared for a change called so."""
    return approvals(repo, change, environment)


def review(
    repo: Any, change: str, environment: str, *, comment: str, confirm: Callable[[ReviewDebt, str], bool]
) -> Reviews:
    """Sign nothing."""
    assert confirm(samples.DEBT, "bruno")
    return Reviews(change=change, environment=environment, files=("bruno-review-0123456789ab.signed",), owed=())


def apply(repo: Any, change: str, environment: str, *, watch: Watch, emergency: object = None) -> Outcome:
    """Whatever the change's name asks for."""
    if change == "refused":
        raise NotAuthorised("not cleared", faults=("3. approvers: 0 of 1",), hint="bruno can approve")
    if change == "bug":
        raise ZeroDivisionError("secret in the message")
    if change == "killed":
        _play(watch, EVENTS[:3])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    if change == "interrupted":
        _play(watch, EVENTS[:4])
        raise KeyboardInterrupt
    _play(watch, EVENTS)
    named = [result for result in Result if result.name.lower() == change]
    return replace(samples.DONE, result=named[0] if named else Result.DONE)


def rollback(repo: Any, change: str, environment: str, *, only_clean: bool, watch: Watch) -> Outcome:
    """As apply."""
    return apply(repo, change, environment, watch=watch)


def redo(repo: Any, change: str, environment: str, *, watch: Watch) -> Outcome:
    """As apply."""
    return apply(repo, change, environment, watch=watch)


def rollback_preview(repo: Any, change: str, environment: str) -> UndoPreview | Outcome:
    """A preview; one with a conflict, or nothing to undo, where the change is called so."""
    if change == "nothing":
        return replace(samples.DONE, result=Result.NOTHING_TO_UNDO)
    return samples.CONFLICT_AHEAD if change == "conflict" else samples.AHEAD


def redo_preview(repo: Any, change: str, environment: str) -> UndoPreview | Outcome:
    """As for a rollback."""
    return rollback_preview(repo, change, environment)


def pause(repo: Any, run: str) -> PauseAsked:
    """Ask a run to stop."""
    return PauseAsked(
        run=run,
        change=samples.CHANGE,
        environment="production",
        target="ledger",
        person="ana",
        undo=False,
        progress=None,
    )


def resume(repo: Any, run: str, *, watch: Watch) -> Outcome:
    """As apply."""
    return apply(repo, run, "production", watch=watch)


def status(repo: Any, environment: str | None) -> StatusBoard:
    """One change; many where the environment is called so."""
    one = ChangeStatus(change=samples.CHANGE, environment="production", title=samples.TITLE, state="applied")
    return StatusBoard(changes=(replace(one, concern=Concern.READY),) * 800 if environment == "many" else (one,))


def show(repo: Any, change: str) -> ChangeView:
    """The plan, and where it stands."""
    return ChangeView(plan=PLAN, path=f"changes/{samples.CHANGE}", statuses=status(repo, None).changes)


def audit_log(repo: Any, environment: str, change: str | None) -> tuple[Entry, ...]:
    """One entry."""
    event = Event(kind=EventKind.RUN_STARTED, run="r1", change=samples.CHANGE, environment="production")
    return (
        Entry(number=1, at=samples.AT, actor="ana", event=event, content=b"{}", previous="sha256:0", hash="sha256:1"),
    )


def audit_verify(repo: Any, environment: str, heads: tuple[str, ...]) -> AuditReport:
    """Whole, or broken where the environment is called so."""
    problems = ("entry 5 was changed",) if environment == "broken" else ()
    return AuditReport(environment=environment, entries=7, head="sha256:1", problems=problems)


def doctor(repo: Any, environment: str) -> tuple[Diagnosis, ...]:
    """Well, or ill where the environment is called so."""
    return (Diagnosis(name="server", ok=environment != "ill", message="17.2", hint="start it"),)


def trust_init(place: str, *, system: bool, expect: str | None, confirm: Callable[[Any], bool]) -> Any:
    """Pinned."""
    return samples.TRUST


def trust_show(repo: Any) -> Any:
    """As pinned."""
    return samples.TRUST


def policy_check(repo: Any) -> Any:
    """One that lacks nothing."""
    return samples.POLICY_CHECK


def policy_sign(repo: Any, *, confirm: Callable[[Any], bool]) -> Any:
    """Signed, if confirmed."""
    confirm(samples.POLICY_CHECK)
    return samples.POLICY_SIGNED


def policy_signers(repo: Any) -> str:
    """One key."""
    return "ana ssh-ed25519 AAAA\n"


def _play(watch: Watch, events: Played) -> None:
    for kind, step, facts in events:
        watch(Event(kind=kind, run="r1", change=samples.CHANGE, environment="production", step=step, data=facts))


def main() -> int:
    """Run one command line with this module as the pipeline; for tests that need a process of their own."""
    import sys

    import okto_change
    from okto_change.cli.main import main as run

    vars(okto_change)["pipeline"] = sys.modules["okto_change.pipeline"] = sys.modules[__name__]
    sys.argv[0] = "okto-change"
    return run()


if __name__ == "__main__":
    os._exit(main())
