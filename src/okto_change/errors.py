"""One error family: what happened, where, what state things are in, what to do next, and the exit code.

Exit codes (design section 4): 0 done, 1 findings or refused before anything ran, 2 usage, 3 not authorised, 4 failed and
rolled back, 5 failed after commit and undone, 6 stuck, 7 journal broken, 70 our bug.
"""

from __future__ import annotations

from typing import ClassVar

from okto_change.masking import mask

NOTHING_CHANGED = "nothing was changed"


class OktoError(Exception):
    """Base of every error that a user may see.

    ``message`` says what happened, ``where`` the file and line (or target), ``state`` what state things are in, ``hint``
    what to do next. ``faults`` lists several faults found at once, a line each.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        where: object | None = None,
        state: str = NOTHING_CHANGED,
        hint: str | None = None,
        faults: tuple[str, ...] = (),
    ) -> None:
        self.message = mask(message)
        super().__init__(self.message)
        self.where = None if where is None else mask(str(where))
        self.state = mask(state)
        self.hint = None if hint is None else mask(hint)
        self.faults = tuple(map(mask, faults))


class UsageError(OktoError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class PlanError(OktoError):
    """A plan, SQL file or policy file cannot be read as what it should be."""


class WorkspaceError(OktoError):
    """The folder is no change repository, or its git state does not allow the command."""


class NotAuthorised(OktoError):
    """Clearance was refused; ``faults`` holds the reasons with their step numbers."""

    exit_code = 3


class Halted(NotAuthorised):
    """Somebody who may said no while the run was under way: it stops at its next step or chunk."""


class KeyUnusable(NotAuthorised):
    """A signing key is missing, unknown to the policy, or cannot be used."""


class DatabaseError(OktoError):
    """PostgreSQL refused, could not be reached, or is not the database it should be. ``sqlstate`` is five characters or None."""

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        where: object | None = None,
        state: str = NOTHING_CHANGED,
        hint: str | None = None,
        faults: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, where=where, state=state, hint=hint, faults=faults)
        self.sqlstate = sqlstate


class Unusable(DatabaseError):
    """The database cannot be worked with at all. Nothing ran: the exit code is not that of a run that was rolled back."""

    exit_code = 1


class ConnectionFailed(Unusable):
    """No connection could be opened: server down, wrong password, unknown service."""


class AccessDenied(Unusable):
    """The connection's role may not read or make what okto-change keeps in the database: its schema, its journal."""


class ConnectionLost(DatabaseError):
    """The connection broke while something was running; whether a COMMIT arrived must be found out."""

    exit_code = 6


class Refused(OktoError):
    """A check, a finding or a missing precondition stopped the change before anything ran."""


class TargetHeld(Refused):
    """Another run holds the target."""


class NotReversible(Refused):
    """The change cannot be undone automatically: it needs an undo script or an ``irreversible`` line."""


class StepFailed(OktoError):
    """A step failed inside its transaction, which was rolled back."""

    exit_code = 4


class Unaccounted(StepFailed):
    """Rows changed that no image explains, or outside the declared tables or bounds; there is no commit."""


class EditError(OktoError):
    """A config file cannot be edited as asked: path missing, root left, symlink, content not the reviewed one."""


class Conflict(OktoError):
    """Undo would destroy later work; ``faults`` names the rows or keys."""

    exit_code = 6


class Stuck(OktoError):
    """A person must decide; ``state`` says exactly what is applied and what is not."""

    exit_code = 6


class Paused(OktoError):
    """A large fix stopped between two chunks; those that are committed stand, and it can go on or be taken back."""

    exit_code = 6


class JournalBroken(OktoError):
    """The journal cannot be written, or its chain does not verify."""

    exit_code = 7
