"""Whether a committed lock is what its sources compile to: compiled once, then remembered for exactly these bytes.

Compiling takes longer than all the rest of ``verify``, and CI asks again with each decision that arrives. What a lock is
compiled from is the change's files, the policy and this program; their digest stands for the answer. Only a yes is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from okto_change import __version__, digest
from okto_change.approval.policy import Policy
from okto_change.approval.source import state_folder
from okto_change.errors import NotAuthorised, Refused

MOST = 1000
"""answers that are kept"""


def demand_compiled(policy: Policy, change: str, environment: str, files: Mapping[str, bytes]) -> None:
    """Raise what ``apply`` would raise: NotAuthorised for a lock of something else, Refused for a finding, PlanError."""
    known = _answers() / _digest(policy, change, environment, files)
    if known.exists():
        return
    _compile(policy, change, environment, files)
    _keep(known)


def _compile(policy: Policy, change: str, environment: str, files: Mapping[str, bytes]) -> None:
    from okto_change.pipeline import compiling

    compiled = compiling.compile_change(policy, change, environment, files)
    try:
        compiling.demand_lock(compiled, files)
    except Refused as error:
        raise NotAuthorised(error.message, where=error.where, faults=error.faults, hint=error.hint) from error
    compiling.demand_sound(compiled.analysis.findings, "this change cannot run")


def _digest(policy: Policy, change: str, environment: str, files: Mapping[str, bytes]) -> str:
    told = {name: sha256(content).hexdigest() for name, content in files.items()}
    question = {
        "program": __version__,
        "policy": policy.sha256,
        "change": change,
        "environment": environment,
        "files": told,
    }
    return sha256(digest.canonical(question)).hexdigest()


def _answers() -> Path:
    folder = state_folder() / "compiled"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _keep(known: Path) -> None:
    """Remember an answer; where that cannot be written, the next one compiles again."""
    with suppress(OSError):
        kept = list(known.parent.iterdir())
        for old in kept if len(kept) >= MOST else ():
            old.unlink(missing_ok=True)
        known.touch(mode=0o600)
