"""What the author does: a repository, a change, its findings, its lock."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from okto_change.approval import identity
from okto_change.approval import policy as policies
from okto_change.approval.policy import Policy
from okto_change.approval.workspace import Workspace
from okto_change.errors import KeyUnusable, OktoError, PlanError, UsageError
from okto_change.model import Analysis, ChangePlan, CheckReport, Finding, LockWritten, NewChange
from okto_change.pipeline.compiling import compile_change, demand_author, demand_sound, differences, lock_path
from okto_change.pipeline.repository import CHANGES, POLICY, Repository
from okto_change.plan import folder, read, scaffold

KEY_FILES = ("id_ed25519_sk.pub", "id_ecdsa_sk.pub", "id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


def init(
    path: Path, *, name: str | None = None, person: str | None = None, key: str | None = None, sandbox: bool = True
) -> tuple[str, ...]:
    """Make ``path`` a change repository: git, policy version 1, ``changes/``; return the paths written, uncommitted.

    Raises UsageError where one of the files exists already, KeyUnusable without a public key.
    """
    workspace = Workspace.begin(path.absolute())
    try:
        files = _first_files(workspace, name, person, key, sandbox)
        return _write_new(Repository(workspace.root), files, "this is a change repository already: okto-change status")
    except OktoError:
        workspace.abandon()
        raise


def _first_files(
    workspace: Workspace, name: str | None, person: str | None, key: str | None, sandbox: bool
) -> dict[str, str]:
    login, email = workspace.user()
    return scaffold.init_files(name or workspace.root.name) | {
        f"{POLICY}0001.yaml": policies.template(
            repo=str(uuid.uuid4()),
            person=_person(person or login),
            key=_public_key(workspace, key),
            email=email or None,
            sandbox=sandbox,
        )
    }


def _person(name: str) -> str:
    """Return a name as the policy writes people: lower case, no blanks. Raises UsageError for nothing."""
    short = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")
    if not short:
        raise UsageError("who are you?", hint="okto-change init --person ana, or set git's user.name")
    return short


def _public_key(workspace: Workspace, key: str | None) -> str:
    """Return the public key line to enrol: of ``key``, git's ``user.signingkey``, or the usual files. Raises KeyUnusable."""
    home = Path.home() / ".ssh"
    usual = [str(home / file) for file in KEY_FILES if (home / file).is_file()]
    for candidate in (key, workspace.signing_key(), *usual):
        if candidate:
            return identity.public_key(candidate).line
    raise KeyUnusable(
        "there is no SSH key to enrol",
        where=home,
        hint="make one: ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519, or name one with --key FILE",
    )


def new(
    repo: Repository,
    title: str,
    *,
    template: str = "data-fix",
    parameters: Mapping[str, str] | None = None,
    incident: str | None = None,
) -> NewChange:
    """Begin a change from a template. Raises UsageError when its folder exists, or for an unknown template or parameter."""
    author = _author(repo)
    change, files = scaffold.new_change_files(
        title,
        date=datetime.now(UTC).date(),
        author=author,
        template=template,
        parameters={**_target(repo.policy, template), **(parameters or {})},
        incident=incident,
    )
    named = {f"{CHANGES}/{change}/{path}": text for path, text in files.items()}
    paths = _write_new(repo, named, "choose another title, or go on with that change")
    return NewChange(change=change, paths=paths)


def _target(policy: Policy, template: str) -> dict[str, str]:
    """Return a target of the policy for a template whose own it does not have; {} where there is none of its kind."""
    wanted = "files" if template == "config-edit" else "postgres"
    environments = policy.environments.values()
    names = sorted({name for entry in environments for name, one in entry.targets.items() if one.kind == wanted})
    known = template in scaffold.TEMPLATES and scaffold.TEMPLATES[template].defaults["target"]
    return {"target": names[0]} if names and known and known not in names else {}


def check(repo: Repository, change: str, environment: str | None) -> CheckReport:
    """Parse, render and analyse a change offline, for one environment or for all that have its targets; findings appear once.

    Raises PlanError with every fault of the plan, and for one whose targets no environment has.
    """
    change = repo.resolve(change)
    files = repo.worktree_files(change)
    plan = read.load(change, files)
    demand_author(repo.policy, plan, files)
    names = (
        [environment]
        if environment
        else [name for name in sorted(repo.policy.environments) if _fits(repo, plan.steps, name)]
    )
    if not names:
        raise _fits_nowhere(repo.policy, plan)
    compiled = [compile_change(repo.policy, change, name, files) for name in names]
    return CheckReport(
        plan=plan,
        analysis=_joined([one.analysis for one in compiled]),
        environments=tuple(names),
        unnamed=tuple(f"{CHANGES}/{change}/{path}" for path in folder.unnamed(plan, files)),
    )


def lock(repo: Repository, change: str, environment: str) -> LockWritten:
    """Compile the working tree's change and write its lock. Raises Refused for an error finding, with nothing written."""
    change = repo.resolve(change)
    files = repo.worktree_files(change)
    compiled = compile_change(repo.policy, change, environment, files)
    demand_author(repo.policy, compiled.plan, files)
    demand_sound(compiled.analysis.findings, "this change cannot be locked")
    path = lock_path(environment)
    old = files.get(path)
    changed = old != compiled.lock.content
    if changed:
        repo.write(f"{CHANGES}/{change}/{path}", compiled.lock.content)
    return LockWritten(
        lock=compiled.lock,
        path=f"{CHANGES}/{change}/{path}",
        changed=changed,
        differences=differences(old, compiled.lock.content) if old is not None and changed else (),
    )


def _author(repo: Repository) -> str:
    """Return the person to name as author: whose key is at hand, else git's user by name or address; raises UsageError."""
    try:
        return repo.signer().person
    except OktoError:
        name, email = repo.workspace.user()
        people = repo.policy.people.values()
        found = next((p.name for p in people if email in p.emails or name == p.name), None)
    if found is None:
        raise UsageError(
            "who are you? Neither a key at hand nor git's user.name or user.email is somebody's in the policy",
            where=repo.policy.file,
            faults=(f"people: {', '.join(repo.policy.people)}",),
            hint="name your key with --key FILE, or set git's user.name",
        )
    return found


def _fits(repo: Repository, steps: tuple[object, ...], environment: str) -> bool:
    targets = repo.policy.environment(environment).targets
    return all(getattr(step, "target", None) in targets for step in steps)


def _fits_nowhere(policy: Policy, plan: ChangePlan) -> PlanError:
    known = "; ".join(f"{name} has {', '.join(sorted(entry.targets))}" for name, entry in policy.environments.items())
    return PlanError(
        "no environment of the policy has all targets of this plan",
        faults=tuple(f"{step.where}: step {step.name!r} is for target {step.target!r}" for step in plan.steps),
        hint=f"correct `target`: {known}; the policy counts as it stands on the protected branch",
    )


def _joined(analyses: list[Analysis]) -> Analysis:
    findings: dict[tuple[str, str, str], Finding] = {
        (f.code, str(f.where), f.message): f for found in analyses for f in found.findings
    }
    worst = max(analyses, key=lambda found: found.risk.rank)
    return replace(worst, findings=tuple(findings.values()))


def _write_new(repo: Repository, files: Mapping[str, str], otherwise: str) -> tuple[str, ...]:
    """Write files that must not exist yet; when one does, nothing is written and ``otherwise`` says what to do."""
    there = [path for path in files if (repo.root / path).exists()]
    if there:
        raise UsageError("these files exist already", faults=tuple(there), hint=otherwise)
    for path, text in files.items():
        repo.write(path, text.encode())
    return tuple(files)
