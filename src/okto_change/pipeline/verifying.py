"""Whether a change is cleared, for a machine that asks often: from git alone, without database or key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okto_change.pipeline.repository import Repository

if TYPE_CHECKING:
    from okto_change.model import Ballot


def verify(repo: Repository, change: str, environment: str) -> Ballot:
    """Return the ballot on the lock committed at HEAD.

    That lock must be what the sources compile to, as ``apply`` will demand. Raises Refused without a lock of these sources or
    for a finding, NotAuthorised for a lock of something else, PlanError for what cannot be read.
    """
    with repo.fetching("verify", head=True):
        # It takes about as long as the fetch.
        from okto_change.pipeline import balloting
    return balloting.committed_ballot(repo, change, environment)
