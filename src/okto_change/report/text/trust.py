"""Pages about trust: what is pinned, what a new version of the policy would mean, who signed it."""

from __future__ import annotations

from okto_change.model import PolicyCheck, PolicySigned, TrustView
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Look, Page


def trust(view: TrustView, look: Look) -> str:
    """Return what is trusted here, with the fingerprint to read out."""
    page = Page()
    where = view.pin_file or "nowhere: the remote was trusted on first use (okto-change trust init pins it)"
    page.line((view.url, STRONG))
    page.facts(
        [
            ("repository", view.repo),
            ("protected", view.protected_ref.removeprefix("refs/heads/")),
            ("policy", f"version {view.version}, {_mode(view)}"),
            ("fetched", f"{view.fetched_at:%Y-%m-%d %H:%MZ}" if view.fetched_at else None),
            ("pinned", where + (" (the machine's: users cannot change it)" if view.system else "")),
        ]
    )
    page.heading(f"FINGERPRINT of version {view.version}")
    page.line((view.fingerprint, STRONG), indent=2)
    if view.pinned_version is not None and view.pinned_version != view.version:
        page.heading(f"FINGERPRINT of version {view.pinned_version}, which trust begins with")
        page.line((view.pinned_fingerprint or "", STRONG), indent=2)
    return page.render(look)


def policy_check(found: PolicyCheck, look: Look) -> str:
    """Return what a version of the policy changes, and what that means for people."""
    page = Page()
    against = "in force: none yet" if found.old is None else f"in force: version {found.old}"
    page.line((f"{found.file}", STRONG), ("  ", ""), (against, DIM))
    for title, lines, style in (
        ("CHANGES", found.differences, ""),
        ("WHO COULD DO WHAT", found.effects, ""),
        ("DEAD ENDS", found.warnings, CARE),
        ("SIGNATURES MISSING", found.lacking, BAD),
    ):
        if lines:
            page.heading(title)
            page.bullets(lines, style=style)
    page.gap()
    if found.lacking:
        page.line(("next  ", DIM), "an owner signs it: okto-change policy sign")
    else:
        page.line(("it can be merged" if found.differences else "it is the policy in force", GOOD))
    return page.render(look)


def policy_signed(done: PolicySigned, look: Look) -> str:
    """Return whose signature was written where, and what is missing."""
    page = Page()
    page.line((f"{done.person} signed version {done.version} of the policy", GOOD))
    page.bullets([done.path])
    page.bullets(done.lacking, style=CARE)
    page.line(("next  ", DIM), "commit it beside the policy" + ("" if done.lacking else ", and have both merged"))
    return page.render(look)


def _mode(view: TrustView) -> str:
    return (
        "simple: whoever may write the protected branch changes it"
        if view.quorum is None
        else (f"strong: {view.quorum} of its owners sign every version")
    )
