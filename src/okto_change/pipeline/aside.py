"""What runs put aside instead of dropping it, in all targets of an environment."""

from __future__ import annotations

from okto_change.approval.policy import PostgresTarget
from okto_change.database import inverse
from okto_change.errors import DatabaseError
from okto_change.model import Trash, TrashItem
from okto_change.pipeline.connections import connect
from okto_change.pipeline.repository import Repository


def trash(repo: Repository, environment: str) -> Trash:
    """Return what lies aside in an environment; only looks. A target out of reach is told in the result."""
    entry = repo.policy.environment(environment)
    items: list[TrashItem] = []
    silent: list[str] = []
    for target in entry.targets.values():
        if not isinstance(target, PostgresTarget):
            continue
        try:
            with connect(target, repo.environ, install=False) as session:
                items += (_item(target.name, one) for one in inverse.aside(session, environment))
        except DatabaseError as error:
            silent.append(error.message)
    return Trash(environment=environment, items=tuple(items), silent=tuple(silent))


def _item(target: str, one: inverse.Aside) -> TrashItem:
    return TrashItem(
        target=target,
        change=one.change,
        run=one.run,
        object=one.object,
        place=one.place,
        at=one.at,
        bytes=one.bytes,
        statement=one.statement,
    )
