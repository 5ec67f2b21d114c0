"""What runs, and who runs it: the change read and compiled at one commit, from git alone. It imports nothing of databases."""

from __future__ import annotations

import getpass

from okto_change.approval import identity
from okto_change.approval.rulebook import Environment
from okto_change.errors import NotAuthorised, Refused
from okto_change.model import Lock
from okto_change.model.base import record
from okto_change.pipeline.compiling import Compiled, compile_change, demand_lock
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.pipeline.stored import Report, from_files


@record
class Source:
    """The change as it will run: compiled at one commit, with the dry run stored there."""

    commit: str
    compiled: Compiled
    lock: Lock
    report: Report | None


@record
class Actor:
    """Who runs the command: a person of the policy, or only a login of this machine (``person`` None)."""

    name: str
    person: str | None


def read_source(repo: Repository, change: str, environment: str) -> Source:
    """Compile the change at the commit that runs are pinned to, and demand that its lock says the same.

    Raises Refused when the change is not there, NotAuthorised when the committed lock differs from its sources.
    """
    entry = repo.policy.environment(environment)
    commit = repo.mirror.head_commit() if entry.from_head else repo.protected_commit
    files = repo.committed_files(commit, change)
    if not files:
        raise _absent(repo, change, entry)
    compiled = repo.apart(compile_change, repo.policy, change, environment, files)
    try:
        lock = demand_lock(compiled, files)
    except Refused as error:
        if entry.from_head and repo.workspace.is_dirty(f"{CHANGES}/{change}"):
            error.faults += (f"{CHANGES}/{change} has edits that are not committed: {environment} runs what is",)
            error.hint = f"git add {CHANGES}/{change} && git commit, then run the command again"
            raise
        if not error.faults:
            raise
        raise NotAuthorised(
            error.message,
            where=error.where,
            faults=error.faults,
            hint=f"see who changed it: git log -p {commit[:12]} -- changes/{change}; put it back, or {error.hint}",
        ) from error
    return Source(commit=commit, compiled=compiled, lock=lock, report=from_files(files, lock))


def _absent(repo: Repository, change: str, entry: Environment) -> Refused:
    if entry.from_head:
        message, hint = f"{change} is not in the commit at HEAD", "commit it, then run the command again"
    else:
        branch = repo.mirror.protected_ref.removeprefix("refs/heads/")
        message = f"{change} is not on the protected branch {branch}, where {entry.name} reads what it runs"
        hint = f"have it merged into {branch}, then run the command again"
    return Refused(message, where=entry.name, hint=hint)


def who(repo: Repository, entry: Environment) -> Actor:
    """Return who this is: the person of the policy whose key signs here, else the login where the policy asks for nobody.

    A key that was named has to be somebody's: without that a run would go by another name than whoever named it thinks.
    """
    try:
        signer = repo.signer()
        identity.prove(signer)
    except NotAuthorised:
        if entry.execute.groups or repo.key is not None:
            raise
        return Actor(name=f"login {getpass.getuser()}", person=None)
    return Actor(name=signer.person, person=signer.person)


def demand_hands(repo: Repository, entry: Environment, actor: Actor) -> None:
    """Raise NotAuthorised for somebody whom the environment lets run nothing: taking back is running too.

    Those who may break the glass there may take back as well, whatever they wrote or approved: an undo cannot wait.
    """
    groups = entry.execute.groups
    if not groups:
        return
    may = repo.policy.members((*groups, *(entry.break_glass.execute if entry.break_glass else ())))
    if actor.person not in may:
        raise NotAuthorised(
            f"{actor.name} is in none of the groups that may execute in {entry.name}: {', '.join(groups)}",
            where=repo.policy.file,
            hint=f"who may: {', '.join(sorted(may)) or 'nobody; the policy decides who is'}",
        )
