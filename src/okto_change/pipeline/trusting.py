"""Pinning a repository after people compared its fingerprint, and showing what is trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from okto_change.approval import pins, source, trust
from okto_change.approval.mirror import Mirror
from okto_change.approval.pins import Pin
from okto_change.approval.policy import Policy
from okto_change.errors import Refused, UsageError, WorkspaceError
from okto_change.model import TrustView
from okto_change.pipeline.repository import Repository

Confirm = Callable[[TrustView], bool]
GROUPS = 10
"""groups of four hexadecimal digits that people read out: 160 bits"""


def trust_init(place: str, *, system: bool, expect: str | None, confirm: Confirm) -> TrustView:
    """Fetch a repository afresh, show its fingerprint, and pin it once ``confirm`` (or ``expect``) says that it is right.

    ``place`` is a URL or a clone's folder. What was remembered of the repository is forgotten, so this is also how
    a branch that was rightly rewritten is accepted. Raises UsageError where the fingerprint is another, Refused.
    """
    origin = source.named(place)
    if origin.url is None:
        raise WorkspaceError(
            f"{origin.root} has no remote, so there is nothing to pin", hint="push it somewhere, then pin that place"
        )
    file = pins.SYSTEM if system else pins.user_file()
    with trust.afresh(origin) as mirror:
        policy = trust.newest(mirror)
        pin = Pin(policy.repo, origin.url, mirror.protected_ref, policy.version, policy.sha256)
        view = _view(mirror, policy, pin, file)
        _demand(view, expect)
        if expect is None and not confirm(view):
            raise Refused("not pinned", where=origin.shown, hint="pin it when the fingerprint was compared")
        pins.save(file, pin)
        trust.accept(mirror, policy)
    return view


def trust_show(repo: Repository) -> TrustView:
    """Return what is trusted in this clone."""
    policy = repo.policy
    return _view(repo.mirror, policy, repo.mirror.pin, pins.load().file if repo.mirror.pin else None)


def fingerprint(repo: str, protected_ref: str, version: int, sha256: str) -> str:
    """Return what people compare by voice: it is the same however the repository is reached."""
    text = f"okto-change trust v1\n{repo}\n{protected_ref}\n{version}\n{sha256.removeprefix('sha256:')}\n"
    digits = hashlib.sha256(text.encode("ascii")).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, 4 * GROUPS, 4))


def _demand(view: TrustView, expect: str | None) -> None:
    if expect is not None and "".join(expect.split()).lower() != view.fingerprint.replace(" ", ""):
        raise UsageError(
            f"the fingerprint is {view.fingerprint}, not the expected one",
            where=view.url,
            state="nothing was pinned",
            hint="compare it with its owner again; a newer version of the policy has another fingerprint",
        )


def _view(mirror: Mirror, policy: Policy, pin: Pin | None, file: Path | None) -> TrustView:
    return TrustView(
        repo=policy.repo,
        url=mirror.source.shown,
        protected_ref=mirror.protected_ref,
        version=policy.version,
        fingerprint=fingerprint(policy.repo, mirror.protected_ref, policy.version, policy.sha256),
        quorum=policy.policy_quorum,
        pin_file=str(file) if file else None,
        system=file == pins.SYSTEM,
        pinned_version=pin.version if pin else None,
        pinned_fingerprint=fingerprint(pin.repo, pin.protected_ref, pin.version, pin.sha256) if pin else None,
        fetched_at=mirror.memory.fetched_at,
    )
