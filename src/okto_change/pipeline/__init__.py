"""The journey: check, lock, dry_run, decide, apply, rollback, and the trail of it. Read this second.

Each function takes a ``Repository`` and returns a value to show; only they join the folders of the tree together. The
functions are found in their modules on first use, so that a command pays for nothing that it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okto_change.pipeline.applying import apply
    from okto_change.pipeline.aside import trash
    from okto_change.pipeline.authoring import check, init, lock, new
    from okto_change.pipeline.deciding import approvals, decide
    from okto_change.pipeline.evidence import dry_run
    from okto_change.pipeline.glass import Emergency, review
    from okto_change.pipeline.history import audit_log, audit_verify, doctor, show
    from okto_change.pipeline.overview import status
    from okto_change.pipeline.pausing import pause
    from okto_change.pipeline.policing import policy_check, policy_sign, policy_signers
    from okto_change.pipeline.purging import purge
    from okto_change.pipeline.repository import Repository, open_repository
    from okto_change.pipeline.reverting import redo, redo_preview, rollback, rollback_preview
    from okto_change.pipeline.running import resume
    from okto_change.pipeline.trusting import trust_init, trust_show
    from okto_change.pipeline.verifying import verify

_HOMES = {
    "authoring": ("init", "new", "check", "lock"),
    "evidence": ("dry_run",),
    "deciding": ("decide", "approvals"),
    "applying": ("apply",),
    "running": ("resume",),
    "reverting": ("rollback", "rollback_preview", "redo", "redo_preview"),
    "glass": ("Emergency", "review"),
    "verifying": ("verify",),
    "overview": ("status",),
    "history": ("show", "audit_log", "audit_verify", "doctor"),
    "policing": ("policy_check", "policy_sign", "policy_signers"),
    "trusting": ("trust_init", "trust_show"),
    "pausing": ("pause",),
    "purging": ("purge",),
    "aside": ("trash",),
    "repository": ("Repository", "open_repository"),
}

__all__ = [
    "Emergency",
    "Repository",
    "apply",
    "approvals",
    "audit_log",
    "audit_verify",
    "check",
    "decide",
    "doctor",
    "dry_run",
    "init",
    "lock",
    "new",
    "open_repository",
    "pause",
    "policy_check",
    "policy_sign",
    "policy_signers",
    "purge",
    "redo",
    "redo_preview",
    "resume",
    "review",
    "rollback",
    "rollback_preview",
    "show",
    "status",
    "trash",
    "trust_init",
    "trust_show",
    "verify",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(name)
