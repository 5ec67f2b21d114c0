"""An environment's targets -> sessions and stores: the right database, or no connection at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from okto_change.approval.policy import Environment, FilesTarget, PostgresTarget
from okto_change.database import session as database
from okto_change.database import state, turns
from okto_change.database.session import Session
from okto_change.errors import AccessDenied, DatabaseError, OktoError, PlanError, Refused
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal

if TYPE_CHECKING:
    from okto_change.config.store import FileStore
    from okto_change.pipeline.approach import Approach

DENIED = "42501"
"""insufficient_privilege"""


def open_targets(
    environment: Environment, environ: Mapping[str, str], *, install: bool = True, near: Approach | None = None
) -> Targets:
    """Return the targets of an environment, connected when first used; ``install`` creates schema okto_change where missing.

    ``near`` are connections that were begun before.
    """
    openers: dict[str, Callable[[], Session]] = {}
    stores: dict[str, FileStore] = {}
    for name, target in environment.targets.items():
        match target:
            case PostgresTarget():
                openers[name] = partial(
                    connect, target, environ, install=install, environment=environment.name, near=near
                )
            case FilesTarget():
                from okto_change.config.store import FileStore

                stores[name] = FileStore(_folder(target, environ))
    return Targets(openers, stores)


def connect(
    target: PostgresTarget,
    environ: Mapping[str, str],
    *,
    install: bool,
    environment: str | None = None,
    near: Approach | None = None,
) -> Session:
    """Connect and demand the database that the policy names. Raises ConnectionFailed, AccessDenied, Refused.

    Where ``environment`` is going to write (``install``) and the policy does not name the database, one that was first
    changed as another environment is refused: a variable that leads to production makes no sandbox of it.
    """
    session = (near.take(target.name) if near else None) or reach(target, environ)
    if install:
        with _whole(session):
            state.ensure_schema(session)
            if environment is not None:
                demand_own(session, target, environment)
    return session


def reach(target: PostgresTarget, environ: Mapping[str, str]) -> Session:
    """Connect and demand the database that the policy names; nothing is written. Raises ConnectionFailed, Refused."""
    conninfo = database.conninfo(target.name, service=target.service, dsn_env=target.dsn_env, environ=environ)
    session = database.connect(target.name, conninfo)
    with _whole(session):
        database.demand(session, database=target.database, system_identifier=target.system_identifier)
        if target.sensitive:
            session.draw_veil(target.sensitive)
    return session


@contextmanager
def _whole(session: Session) -> Iterator[None]:
    """Close the session where the body fails."""
    try:
        yield
    except OktoError as error:
        session.close()
        if isinstance(error, DatabaseError) and error.sqlstate == DENIED:
            raise AccessDenied(
                error.message, sqlstate=error.sqlstate, where=error.where, hint=error.hint, faults=error.faults
            ) from error
        raise


def demand_own(session: Session, target: PostgresTarget, environment: str) -> None:
    """Raise Refused where the policy does not name the database and it was first changed as another environment."""
    if target.database is not None or target.system_identifier is not None:
        return
    first = state.first_environment(session)
    if first not in (None, environment):
        raise Refused(
            f"{target.dsn_env or f'service {target.service}'} leads to the database {session.identity.database} of {first}, "
            f"not of {environment}: changes were applied there as {first}",
            where=target.name,
            hint=f"correct it; if both share that database, or {first} was renamed, name it as `database:` in the policy",
        )


def _folder(target: FilesTarget, environ: Mapping[str, str]) -> str:
    path = root(target, environ)
    if not os.path.isdir(path):
        raise Refused(
            f"{path} is no folder",
            where=target.name,
            hint=f"create it, or correct {target.root_env or 'the policy'}: it names the config files of {target.name}",
        )
    return path


def root(target: FilesTarget, environ: Mapping[str, str]) -> str:
    """Return the folder of a config target. Raises PlanError when its variable is not set."""
    if target.root is not None:
        return target.root
    value = environ.get(target.root_env or "")
    if not value:
        raise PlanError(
            f"environment variable {target.root_env} is not set",
            where=target.name,
            hint="it names the folder that holds the config files of this target",
        )
    return value


@contextmanager
def open_journal(
    environment: Environment,
    environ: Mapping[str, str],
    *,
    repo: str | None = None,
    actor: str = "",
    install: bool = True,
    turn: str | None = None,
    near: Approach | None = None,
) -> Iterator[Journal]:
    """Give the environment's journal on a connection of its own, which holds the turn of change ``turn`` as long as it lives.

    With ``repo`` (a UUID) it tells only of that repository's runs. Raises PlanError when its target is no database, Refused when
    another command has the turn.
    """
    target = environment.targets.get(environment.journal)
    if not isinstance(target, PostgresTarget):
        raise PlanError(
            f"journal {environment.journal!r} of {environment.name} is no PostgreSQL target",
            hint="set `journal:` of the environment to one of its postgres targets",
        )
    with connect(target, environ, install=install, environment=environment.name, near=near) as session:
        if turn is not None:
            turns.take(session, turn, environment.name)
        yield Journal(session, actor=actor, repo=repo)
