"""Breaking the glass: the statement of whoever runs it, signed before anything else happens; and the reviews it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from okto_change.approval import debts, identity, publish, statement
from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import Environment
from okto_change.digest import sha256
from okto_change.errors import NotAuthorised, Refused, UsageError
from okto_change.model import ChangeStatus, ReviewDebt, Reviews
from okto_change.model.base import record
from okto_change.pipeline.repository import Repository


@record
class Emergency:
    """Why the rules are passed this once: the incident's name, and the reason in words."""

    incident: str
    reason: str


@record
class Evidence:
    """What somebody signs over: change, environment and plan digest, and the dry run (bare sha256, '' without one)."""

    change: str
    environment: str
    digest: str
    facts_sha256: str = ""
    report_sha256: str = ""


def break_glass(
    repo: Repository, environment: Environment, evidence: Evidence, emergency: Emergency, person: str | None
) -> DecisionFile:
    """Return the signed statement that breaks the glass; it is not published yet.

    Raises NotAuthorised where the policy has no way round or ``person`` may not take it, UsageError for an incident or a
    reason that cannot be written down.
    """
    glass = environment.break_glass
    if glass is None or person is None or person not in repo.policy.members(glass.execute):
        may = ", ".join(glass.execute) if glass else "nobody: the policy has no break_glass for it"
        raise NotAuthorised(
            f"{person or 'whoever runs this'} may not break the glass of {environment.name}",
            where=repo.policy.file,
            hint=f"who may: {may}",
        )
    content = _statement(
        repo, evidence, "break-glass", person, life=glass.valid, comment=emergency.reason, incident=emergency.incident
    )
    signed = statement.join(content, identity.sign(content, repo.signer()))
    return DecisionFile(file=_path(content), content=signed)


def publish_file(repo: Repository, person: str, file: DecisionFile) -> None:
    """Put a signed statement on the branch of decisions. Raises GitFailed, WorkspaceError."""
    assert file.content is not None
    emails = repo.policy.people[person].emails
    said = statement.parse(statement.split(file.content)[0])
    publish.publish(
        repo.mirror,
        file.file,
        file.content,
        name=person,
        email=emails[0] if emails else f"{person}@localhost",
        message=f"{said.decision} {said.change} for {said.environment}",
    )


def owed(repo: Repository, environment: Environment, changes: Iterable[str] = ()) -> tuple[ReviewDebt, ...]:
    """Return every review that is not complete, as git tells it; ``changes`` are looked at besides."""
    found = debts.owed(repo.mirror, repo.policy, environment, changes)
    return tuple(debt for debt in found if not debt.settled)


def described(found: Iterable[ReviewDebt]) -> tuple[str, ...]:
    """Return a line for each review that is owed."""
    now = datetime.now(UTC)
    return tuple(debts.describe(debt, now) for debt in found)


def overdue(repo: Repository, environment: Environment, changes: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a line for each review whose time is over."""
    return debts.overdue(owed(repo, environment, changes), datetime.now(UTC))


def owing(repo: Repository, environment: Environment, found: Iterable[ChangeStatus]) -> list[ChangeStatus]:
    """Return where changes stand, each with the reviews owed for it; a change that only owes one gets a line of its own."""
    owes: dict[str, list[ReviewDebt]] = {}
    for debt in owed(repo, environment):
        owes.setdefault(debt.change, []).append(debt)
    told = [replace(one, owed=described(owes.pop(one.change, ()))) for one in found]
    return told + [
        ChangeStatus(
            change=change,
            environment=environment.name,
            title="",
            state="review owed",
            owed=described(rest),
            next=f"okto-change review {change} --env {environment.name}",
        )
        for change, rest in owes.items()
    ]


def review(
    repo: Repository, change: str, environment: str, *, comment: str, confirm: Callable[[ReviewDebt, str], bool]
) -> Reviews:
    """Sign that a broken glass was looked at, each that is still owed for this change; publish it.

    Raises UsageError without a comment, Refused if nothing is owed, NotAuthorised for whoever broke it, submitted it, or
    is not asked.
    """
    repo.demand_fetched("review")
    change = repo.resolve(change)
    entry, signer = repo.policy.environment(environment), repo.signer()
    mine = [debt for debt in owed(repo, entry) if debt.change == change]
    if not mine:
        raise Refused(
            f"no review is owed for {change} in {environment}", hint=f"see: okto-change status --env {environment}"
        )
    files = [_reviewed(repo, debt, signer, comment, confirm) for debt in mine]
    return Reviews(change=change, environment=environment, files=tuple(files), owed=described(owed(repo, entry)))


def _reviewed(
    repo: Repository,
    debt: ReviewDebt,
    signer: identity.Identity,
    comment: str,
    confirm: Callable[[ReviewDebt, str], bool],
) -> str:
    able = [need for need in debt.needs if signer.person in need.candidates]
    if not able:
        asked = dict.fromkeys(name for need in debt.needs if not need.met for name in need.candidates)
        raise NotAuthorised(
            f"a review by {signer.person} would not count: it is owed by somebody else than {debt.signer}, "
            f"of {', '.join(need.group for need in debt.needs)}",
            hint=f"ask {' or '.join(asked)}" if asked else "nobody left can give it; the policy decides who is",
        )
    if not confirm(debt, signer.person):
        raise Refused("not signed", where=debt.change, hint="nothing was published")
    role = min(able, key=lambda need: need.met).group
    evidence = Evidence(debt.change, debt.environment, debt.digest)
    content = _statement(
        repo,
        evidence,
        "review",
        signer.person,
        life=3600,
        comment=comment,
        role=role,
        about=debt.statement,
        of=debt.signer,
    )
    file = DecisionFile(file=_path(content), content=statement.join(content, identity.sign(content, signer)))
    publish_file(repo, signer.person, file)
    return file.file


def _statement(
    repo: Repository,
    evidence: Evidence,
    decision: str,
    person: str,
    *,
    life: int,
    comment: str,
    role: str = "",
    incident: str = "",
    about: str = "",
    of: str = "",
) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        return statement.build(
            repo=repo.policy.repo,
            change=evidence.change,
            environment=evidence.environment,
            plan_digest=evidence.digest,
            decision=decision,
            signer=person,
            role=role,
            issued_at=now,
            expires_at=now + timedelta(seconds=life),
            policy_sha256=sha256(repo.policy.content),
            comment=comment,
            dry_run_facts_sha256=evidence.facts_sha256,
            dry_run_report_sha256=evidence.report_sha256,
            incident=incident,
            about=about,
            of=of,
        )
    except statement.BadStatement as error:
        raise UsageError(
            f"this cannot be signed: {error}", hint="name an incident such as INC-42, and give a reason"
        ) from error


def _path(content: bytes) -> str:
    said = statement.parse(content)
    return f"{statement.folder(said.change, said.environment)}/{statement.file_name(said)}"
