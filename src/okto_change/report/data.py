"""Results -> JSON objects with stable keys, for ``--json``. Card numbers are masked; everything else is as it is.

Every object has ``kind`` (which result it is) beside the keys that its function names. Nested objects carry the fields
of the domain types in `okto_change.model` under their own names; moments are UTC text, ``where`` is ``{file, line}``.
Where a field can be one of several types (steps, undo, expectations) the object says which in ``type``. Keys may be
added, never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from okto_change.errors import OktoError
from okto_change.masking import mask_all
from okto_change.model import (
    AuditReport,
    Ballot,
    ChangeView,
    CheckReport,
    Decided,
    Diagnosis,
    DryRun,
    DryRunMade,
    Entry,
    LockWritten,
    NewChange,
    Outcome,
    PauseAsked,
    PolicyCheck,
    PolicySigned,
    Purge,
    Reviews,
    StatusBoard,
    Trash,
    TrustView,
    UndoPreview,
)
from okto_change.model.codec import encode
from okto_change.report import verdict

Json = dict[str, Any]

NAMED_TYPES = frozenset(
    ["AutoUndo", "EditStep", "ExpectCompare", "ExpectEmpty", "ExpectRows", "Irreversible", "ScriptUndo", "SqlStep"]
)


def init(paths: Sequence[str]) -> Json:
    """``paths``: the files written."""
    return _object("init", paths=list(paths))


def trust(view: TrustView) -> Json:
    """The fields of ``TrustView``."""
    return _object("trust", **_fields(view))


def policy_check(found: PolicyCheck) -> Json:
    """The fields of ``PolicyCheck``."""
    return _object("policy-check", **_fields(found))


def policy_signed(done: PolicySigned) -> Json:
    """The fields of ``PolicySigned``."""
    return _object("policy-signed", **_fields(done))


def signers(text: str) -> Json:
    """``allowed_signers``: the file's text."""
    return _object("signers", allowed_signers=text)


def new(written: NewChange) -> Json:
    """``change``, ``paths``."""
    return _object("new", change=written.change, paths=written.paths)


def check(report: CheckReport) -> Json:
    """``change``, ``environments``, ``stopped`` (a finding is an error), ``findings``, ``risk``, ``risk_reasons``.

    And ``statements`` and ``objects`` as analysis sees them, and ``unnamed``: SQL files that the plan names nowhere.
    """
    plan, analysis = report.plan, report.analysis
    return _object(
        "check",
        change=plan.change,
        environments=report.environments,
        stopped=verdict.findings_code(analysis.findings) != 0,
        findings=analysis.findings,
        risk=analysis.risk,
        risk_reasons=analysis.risk_reasons,
        statements=analysis.statements,
        objects=analysis.objects,
        unnamed=report.unnamed,
    )


def lock(written: LockWritten) -> Json:
    """``change``, ``environment``, ``digest``, ``path``, ``changed``, ``differences``."""
    found = written.lock
    return _object(
        "lock",
        change=found.change,
        environment=found.environment,
        digest=found.digest,
        path=written.path,
        changed=written.changed,
        differences=written.differences,
    )


def dry_run(result: DryRun) -> Json:
    """``ready``, ``objections`` (why not), and the fields of `DryRun`."""
    reasons = verdict.objections(result)
    return _object("dry-run", ready=not reasons, objections=reasons, **_fields(result))


def dry_run_made(made: DryRunMade) -> Json:
    """Like ``dry_run``, and ``paths`` (the files written), ``signed_by`` (or null), ``unsigned`` (why not, or '')."""
    return dry_run(made.dry_run) | _object(
        "dry-run", paths=made.paths, signed_by=made.signed_by, unsigned=made.unsigned
    )


def decided(result: Decided) -> Json:
    """``file``, ``digest``, ``missing``."""
    return _object("decided", **_fields(result))


def ballot(result: Ballot) -> Json:
    """``change``, ``environment``, ``digest``, ``decisions``, ``needs``, ``blocks``, ``cleared``, ``notes``, ``excluded``.

    And ``rules`` (ids of those that match), ``risk``, ``risk_reasons``, ``ending`` (keys and policies that end soon).
    """
    return _object("ballot", **_fields(result))


def reviews(result: Reviews) -> Json:
    """``change``, ``environment``, ``files`` (the reviews signed), ``owed``: what is still owed in the environment."""
    return _object("reviews", **_fields(result))


def outcome(result: Outcome) -> Json:
    """``result``, ``run``, ``summary``, ``state``, ``hint``, ``writes``, ``checks``, ``conflicts``, ``notes``, ``exit_code``."""
    return _object("outcome", exit_code=verdict.outcome_code(result), **_fields(result))


def undo_preview(preview: UndoPreview) -> Json:
    """``exit_code``, and the fields of `UndoPreview`: ``run``, ``redo``, ``steps``, ``writes``, ``rows``, ``edits``, …"""
    return _object("undo-preview", exit_code=verdict.preview_code(preview), **_fields(preview))


def status(board: StatusBoard) -> Json:
    """``changes``: a list of ``{change, environment, title, state, concern, run, at, digest, detail, next, missing, owed}``.

    And ``silent``: the targets that give no answer, ``{environment, target, message, hides, hint}``; ``ending``: keys and
    policies that end soon, a line each.
    """
    return _object("status", **_fields(board))


def show(view: ChangeView) -> Json:
    """``plan``, ``path``, ``statuses``; ``silent``: the targets that give no answer, as ``status`` has them."""
    return _object("show", **_fields(view))


def log(entries: Sequence[Entry]) -> Json:
    """``entries``: a list of ``{number, at, actor, event, content, previous, hash}``; ``content`` is canonical JSON."""
    return _object("log", entries=[_entry(entry) for entry in entries])


def audit(report: AuditReport) -> Json:
    """``environment``, ``entries`` (a number), ``head``, ``problems``, ``intact``."""
    return _object("audit", intact=not report.problems, **_fields(report))


def pause(asked: PauseAsked) -> Json:
    """``run``, ``change``, ``environment``, ``target``, ``person``, ``undo``, ``progress`` (of the latest chunk, or null)."""
    return _object("pause", **_fields(asked))


def purge(result: Purge) -> Json:
    """``environment``, ``keep`` (seconds), ``at``, ``dry_run``, ``images`` (what stays of each), ``kept``, ``silent``."""
    return _object("purge", **_fields(result))


def trash(found: Trash) -> Json:
    """``environment``, ``items``: a list of ``{target, change, run, object, place, at, bytes, statement}``, ``silent``."""
    return _object("trash", **_fields(found))


def doctor(found: Sequence[Diagnosis]) -> Json:
    """``well`` (all of them), ``diagnoses``: a list of ``{name, ok, message, hint}``."""
    return _object("doctor", well=all(diagnosis.ok for diagnosis in found), diagnoses=found)


def error(fault: OktoError, exit_code: int) -> Json:
    """``error``: ``{type, message, where, faults, state, hint, exit_code}``; the only key of the object."""
    told = {
        "type": type(fault).__name__,
        "message": fault.message,
        "where": fault.where,
        "faults": list(fault.faults),
        "state": fault.state,
        "hint": fault.hint,
        "exit_code": exit_code,
    }
    masked: Json = mask_all({"error": told})
    return masked


def _entry(entry: Entry) -> Json:
    fields: Json = _plain(
        {name: getattr(entry, name) for name in ("number", "at", "actor", "event", "previous", "hash")}
    )
    return fields | {"content": entry.content.decode("utf-8", "backslashreplace")}


def _fields(value: Any) -> Json:
    fields: Json = _plain(value)
    return fields


def _object(kind: str, /, **fields: Any) -> Json:
    masked: Json = mask_all({"kind": kind} | _plain(fields))
    return masked


def _plain(value: Any) -> Any:
    return _tidy(encode(value))


def _tidy(value: Any) -> Any:
    match value:
        case dict():
            kind = value.get("_type")
            rest = {name: _tidy(item) for name, item in value.items() if name != "_type"}
            return {"type": kind} | rest if kind in NAMED_TYPES else rest
        case list():
            return [_tidy(item) for item in value]
        case _:
            return value
