"""Running a change, from its beginning: git is asked and the change compiled while a thread imports the database's side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okto_change.pipeline.repository import Repository

if TYPE_CHECKING:
    from okto_change.model import Outcome
    from okto_change.pipeline.glass import Emergency
    from okto_change.pipeline.running import Watch


def apply(
    repo: Repository, change: str, environment: str, *, watch: Watch, emergency: Emergency | None = None
) -> Outcome:
    """Run the change, with ``emergency`` past the rules that a broken glass lowers.

    Raises NotAuthorised with the reasons, Refused, ConnectionFailed, JournalBroken.
    """
    with repo.fetching("apply"):
        from okto_change.pipeline import approach, sources
    change = repo.resolve(change)
    with approach.Approach(repo.policy.environment(environment), repo.environ) as near:
        source = sources.read_source(repo, change, environment)
        actor = sources.who(repo, source.compiled.environment)
        from okto_change.pipeline import running

        return running.apply(repo, source, actor, near=near, watch=watch, emergency=emergency)
