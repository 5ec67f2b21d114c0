"""Whose e-mail stands in the commits that made a change. It gives nobody anything; it can only keep people from approving."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.approval.rulebook import Environment, Policy
from okto_change.approval.safegit import SafeGit

OURS = ("locks/", "dryruns/", "approvals/", "runs/")
"""folders of a change that commands write: who commits their files has no part in the change"""
_START, _FIELD, _MORE = "\x01", "\x1f", "\x1e"
_FORMAT = "%x01%H%x1f%ae%x1f%ce%x1f%(trailers:key=Co-authored-by,valueonly,separator=%x1e)%x1f"


def contributors(git: SafeGit, policy: Policy, environment: Environment, change: str, commit: str) -> dict[str, str]:
    """Return the people named in commits on ``change`` in the history of ``commit``, each with the first such commit.

    A merge has a part only in files that it left unlike every parent: pressing the forge's button is no authorship.
    Empty where the environment excludes nobody for it.
    """
    if environment.exclude_contributors == "off":
        return {}
    folder = f"changes/{change}/"
    listing = git.run("log", "-c", "--full-history", "--name-only", "-z", f"--format={_FORMAT}", commit, "--", folder)
    found: dict[str, str] = {}
    for record in listing.decode("utf-8", "replace").split(_START)[1:]:
        for email, part in _emails(record, folder, committers=environment.exclude_contributors == "committers"):
            for person in policy.people_of(email):
                found.setdefault(person, f"{part} of commit {record[:12]}")
    return found


def _emails(record: str, folder: str, *, committers: bool) -> Iterator[tuple[str, str]]:
    fields = (record.split(_FIELD, 4) + [""] * 4)[:5]
    _, author, committer, others, files = fields
    if not any(_written(path.strip("\n"), folder) for path in files.split("\0")):
        return
    yield author, "author"
    for other in others.split(_MORE):
        yield other.rpartition("<")[2].partition(">")[0], "co-author"
    if committers:
        yield committer, "committer"


def _written(path: str, folder: str) -> bool:
    return path.startswith(folder) and not path.removeprefix(folder).startswith(OURS)
