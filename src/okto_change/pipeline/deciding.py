"""Signing a decision over exactly what will run, and counting those that there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from okto_change.approval import identity, publish, signature, statement
from okto_change.approval import policy as policies
from okto_change.approval.policy import Environment
from okto_change.digest import sha256
from okto_change.errors import KeyUnusable, NotAuthorised, OktoError, Refused, UsageError, WorkspaceError
from okto_change.model import Ballot, Decided, DecisionRequest, Irreversible, Lock
from okto_change.model.base import record
from okto_change.pipeline.balloting import committed_lock
from okto_change.pipeline.compiling import compile_change, demand_author, demand_lock, demand_sound, lock_path
from okto_change.pipeline.connections import open_targets
from okto_change.pipeline.counted import count_decisions, voucher
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import read_source
from okto_change.pipeline.stored import Report, from_files
from okto_change.pipeline.usedup import consumed

Kind = Literal["submit", "approve", "reject", "revoke"]
Confirm = Callable[[DecisionRequest], bool]

_FOR = ("submit", "approve")
"""decisions that let a change run, and so demand that it is whole; against it speaks whoever can read its lock"""


@record
class Matter:
    """What is decided on: a lock, the environment that it is for, and the dry run that is stored beside it."""

    environment: Environment
    lock: Lock
    report: Report | None


def decide(
    repo: Repository,
    change: str,
    environment: str,
    decision: Kind,
    *,
    comment: str = "",
    of: str = "",
    confirm: Confirm,
) -> Decided:
    """Show what would be signed, sign it if ``confirm`` says so, publish it on the approvals branch.

    ``of`` is the person whose decisions a ``revoke`` takes away, '' for one's own.

    Raises WorkspaceError for uncommitted edits, Refused for a missing lock and, unless it is refused or revoked, a stale
    one, KeyUnusable, NotAuthorised for a person who may not decide this.
    """
    repo.demand_fetched(decision)
    change = repo.resolve(change)
    matter = _matter(repo, change, environment, decision)
    signer = repo.signer()
    counted = _count(repo, matter)
    role = _role(repo, matter.environment, counted, signer, decision, of)
    request = _request(repo, matter, decision, signer, counted)
    if not confirm(request):
        raise Refused("not signed", where=change, hint="nothing was published")
    content = _statement(repo, matter, decision, comment, signer.person, role, of)
    armor = identity.sign(content, signer)
    _demand_proven(repo, counted, role, content, armor)
    file = _publish(repo, matter.lock, signer, content, armor)
    missing = (*policies.missing(_count(repo, matter)), *_unmerged(repo, matter.environment, matter.lock))
    return Decided(file=file, digest=matter.lock.digest, missing=missing)


def _matter(repo: Repository, change: str, environment: str, decision: Kind) -> Matter:
    """Return what is decided on: for a yes a lock that its sources compile to, for a no whatever lock is there."""
    if decision not in _FOR:
        files, entry = _head_files(repo, change), repo.policy.environment(environment)
        lock = committed_lock(files, change, environment, repo.policy.repo)
        return Matter(entry, lock, from_files(files, lock))
    repo.demand_clean(change)
    files = _head_files(repo, change)
    compiled = compile_change(repo.policy, change, environment, files)
    lock = demand_lock(compiled, files)
    demand_author(repo.policy, compiled.plan, files)
    demand_sound(compiled.analysis.findings, f"this change cannot be {_done(decision)}")
    return Matter(compiled.environment, lock, from_files(files, lock))


def _role(
    repo: Repository, environment: Environment, counted: Ballot, signer: identity.Identity, decision: Kind, of: str
) -> str:
    """Return the group that an approval is given for, '' for other decisions. Raises where it could not count."""
    match decision:
        case "approve":
            return policies.role(repo.policy, counted, signer.person, _key(repo, signer), datetime.now(UTC))
        case "submit":
            policies.demand_submitter(repo.policy, environment, signer.person)
        case "revoke":
            _demand_something_signed(repo, environment, counted, signer.person, of)
    return ""


def _key(repo: Repository, signer: identity.Identity) -> policies.PersonKey:
    return next(key for key in repo.policy.people[signer.person].keys if key.key == signer.public)


def _demand_proven(repo: Repository, counted: Ballot, role: str, content: bytes, armor: bytes) -> None:
    """Refuse to publish what a security key signed without what the policy asks of it: it would count for nothing."""
    signed = signature.verify(content, armor)
    owner = repo.policy.owner(signed.key)
    fault = policies.unproven(repo.policy, counted, role, owner[1], signed.proven) if owner else "by an unknown key"
    if fault:
        raise KeyUnusable(
            f"it was signed {fault}: it would not count",
            hint="nothing was published; a key that asks for its PIN is made with ssh-keygen -t ed25519-sk -O verify-required",
        )


def _demand_something_signed(repo: Repository, environment: Environment, counted: Ballot, person: str, of: str) -> None:
    """Refuse a revocation that takes nothing away."""
    whose = of or person
    if whose not in repo.policy.people:
        raise UsageError(f"there is nobody called {whose!r} in the policy", where=repo.policy.file, hint=_people(repo))
    if whose != person and person not in repo.policy.revokers(environment):
        raise NotAuthorised(
            f"{person} is in no group that may revoke what others signed",
            where=repo.policy.file,
            hint="reject the change instead, where your rejection blocks; `revoke:` of the environment names the groups",
        )
    if whose == person and not any(line.signer == person for line in counted.decisions):
        raise Refused(f"{person} has signed nothing of this", where=counted.change, hint="nothing was published")


def _people(repo: Repository) -> str:
    return f"people: {', '.join(sorted(repo.policy.people))}"


def _head_files(repo: Repository, change: str) -> dict[str, bytes]:
    """Return the files of a change in the commit at HEAD, which is what people decide on. Raises WorkspaceError."""
    files = repo.committed_files(repo.mirror.head_commit(), change)
    if not files:
        raise WorkspaceError(
            f"{change} is not in the commit at HEAD", where=repo.root, hint="git pull, or switch to its branch"
        )
    return files


def _unmerged(repo: Repository, environment: Environment, lock: Lock) -> tuple[str, ...]:
    """Say that the protected branch, from which runs are read, has no or another version of what is decided on."""
    if environment.from_head:
        return ()
    branch = repo.mirror.protected_ref.removeprefix("refs/heads/")
    found = repo.committed_files(repo.protected_commit, lock.change).get(lock_path(lock.environment))
    if found == lock.content:
        return ()
    if found is None:
        return (f"{branch}: this change is not merged there yet",)
    return (
        f"{branch}: another version stands there, sha256 {sha256(found)[7:19]}; this one does not run unless merged",
    )


def _publish(repo: Repository, lock: Lock, signer: identity.Identity, content: bytes, armor: bytes) -> str:
    """Put a signed statement on the approvals branch; return its path there."""
    signed = statement.join(content, armor)
    said = statement.parse(content)
    path = f"decisions/{lock.change}/{lock.environment}/{statement.file_name(said)}"
    emails = repo.policy.people[signer.person].emails
    publish.publish(
        repo.mirror,
        path,
        signed,
        name=signer.person,
        email=emails[0] if emails else f"{signer.person}@localhost",
        message=f"{said.decision} {lock.change} for {lock.environment}",
    )
    return path


def approvals(repo: Repository, change: str, environment: str, *, to_run: bool = False) -> Ballot:
    """Return every decision on the change's lock: counted or not and why, what is missing, what blocks.

    The lock is the one at HEAD, or with ``to_run`` the one that ``apply`` would run.
    """
    repo.tell_what_ends()
    change = repo.resolve(change)
    if to_run:
        source = read_source(repo, change, environment)
        return _count(repo, Matter(source.compiled.environment, source.lock, source.report), source.commit)
    files = _head_files(repo, change)
    compiled = compile_change(repo.policy, change, environment, files)
    lock = demand_lock(compiled, files)
    counted = _count(repo, Matter(compiled.environment, lock, from_files(files, lock)))
    return replace(counted, notes=(*_unmerged(repo, compiled.environment, lock), *counted.notes))


def _count(repo: Repository, matter: Matter, commit: str = "") -> Ballot:
    return count_decisions(
        repo,
        matter.environment,
        matter.lock,
        commit=commit or repo.mirror.head_commit(),
        report=matter.report,
        used=_consumed(repo, matter.environment, matter.lock),
    )


def _consumed(repo: Repository, environment: Environment, lock: Lock) -> frozenset[str]:
    """Return the decisions that runs used up, as far as this machine can see the targets: an approver often cannot."""
    try:
        with closing(open_targets(environment, repo.environ, install=False)) as targets:
            return consumed(lock, environment, targets)
    except OktoError:
        return frozenset()


def _request(
    repo: Repository, matter: Matter, decision: Kind, signer: identity.Identity, counted: Ballot
) -> DecisionRequest:
    lock, report, person = matter.lock, matter.report, signer.person
    dry_run = report.dry_run if report else None
    if dry_run is None and matter.environment.dry_run == "required" and decision in _FOR:
        raise Refused(
            "this environment requires a dry run of exactly this lock, and there is none",
            where=lock.change,
            hint=f"run `okto-change dry-run {lock.change} --env {lock.environment}` and commit its report",
        )
    vouched = voucher(repo.policy, matter.environment, report, datetime.now(UTC))
    if decision in _FOR:
        _demand_vouched(repo, matter, vouched, {person} if decision == "submit" else set())
    return DecisionRequest(
        decision=decision,
        change=lock.change,
        environment=lock.environment,
        person=person,
        reason=lock.reason,
        incident=lock.incident,
        lock=lock,
        dry_run=dry_run,
        dry_run_signed_by=vouched.person if vouched and not vouched.fault else None,
        ballot=policies.settled_by_submitting(counted) if decision == "submit" else counted,
        warnings=(
            *_warnings(lock, report),
            *_second_thoughts(decision, person, counted),
            *_ends_early(repo, matter.environment, signer, decision),
            *_unmerged(repo, matter.environment, lock),
        ),
    )


def _second_thoughts(decision: Kind, person: str, counted: Ballot) -> list[str]:
    """Say what a person may not expect: that it was signed already, or that whoever submits can no longer approve."""
    found = []
    if any(line.counted and (line.signer, line.decision) == (person, decision) for line in counted.decisions):
        found.append(f"{person} signed the same already, and it counts: once more changes nothing")
    approved = any(line.counted and (line.signer, line.decision) == (person, "approve") for line in counted.decisions)
    if decision == "submit" and (approved or any(person in need.candidates for need in counted.needs)):
        found.append(f"whoever submits cannot approve: an approval by {person} does not count any more")
    return found


def _ends_early(
    repo: Repository, environment: Environment, signer: identity.Identity, decision: Kind
) -> tuple[str, ...]:
    expires = datetime.now(UTC) + timedelta(seconds=environment.max_approval_age)
    early = policies.ends_early(_key(repo, signer), expires) if decision == "approve" else None
    return (early,) if early else ()


def _demand_vouched(repo: Repository, matter: Matter, vouched: policies.Voucher | None, submitter: set[str]) -> None:
    """Refuse to sign over a dry run that does not count, where the environment asks for a signed one."""
    lock, environment = matter.lock, matter.environment
    fault = policies.objection(repo.policy, environment, vouched, frozenset({lock.author, *submitter}))
    if fault is not None:
        may = ", ".join(sorted(repo.policy.members(environment.dry_run_signers) - {lock.author}))
        raise Refused(
            fault,
            where=lock.change,
            hint=f"{may or 'nobody'} can make it: okto-change dry-run {lock.change} --env {lock.environment} --sign; "
            "then commit the report and its signature",
        )


def _warnings(lock: Lock, report: Report | None) -> list[str]:
    lines = [
        f"step {s.name!r} is declared irreversible: {s.undo.reason}"
        for s in lock.steps
        if isinstance(s.undo, Irreversible)
    ]
    if report is None:
        return [*lines, "there is no dry run of this lock"]
    rehearsed = report.dry_run.rehearsal
    if rehearsed is None:
        return [*lines, "the plan was never rehearsed: only the static preview was made"]
    if rehearsed.failure is not None:
        lines.append(f"the rehearsal failed: {rehearsed.failure}")
    elif not rehearsed.undo.proven:
        lines.append(str(rehearsed.undo))
    return lines


def _statement(
    repo: Repository, matter: Matter, decision: Kind, comment: str, person: str, role: str, of: str
) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0)
    lock, report = matter.lock, matter.report
    return statement.build(
        repo=lock.repo,
        change=lock.change,
        environment=lock.environment,
        plan_digest=lock.digest,
        decision=decision,
        signer=person,
        role=role,
        of="" if of == person else of,
        issued_at=now,
        comment=comment,
        policy_sha256=sha256(repo.policy.content),
        expires_at=now + timedelta(seconds=matter.environment.max_approval_age),
        dry_run_facts_sha256=report.dry_run.facts_sha256 if report else "",
        dry_run_report_sha256=report.sha256 if report else "",
    )


def _done(decision: Kind) -> str:
    return {"submit": "submitted", "approve": "approved"}.get(decision, decision)
