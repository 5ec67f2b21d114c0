"""What asks for somebody: what runs, what is stuck, what is paused, what is owed, what is cleared and waits, what ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from okto_change.approval.policy import Environment, PostgresTarget
from okto_change.errors import DatabaseError, OktoError, PlanError, Refused
from okto_change.journal.store import Journal
from okto_change.lifecycle import ChangeState, Run, State, left_by, replay
from okto_change.model import ChangeStatus, Concern, EventKind, Progress, Silence, StatusBoard
from okto_change.pipeline import glass, proposed
from okto_change.pipeline.connections import connect, open_journal, root
from okto_change.pipeline.repository import Repository
from okto_change.plan import read

UNREACHABLE = (DatabaseError, PlanError, Refused)
"""what connecting to a target raises; a journal that is broken is no silence, and stops"""

CONCERNS = {State.STUCK: Concern.STUCK, State.CONFLICT: Concern.STUCK, State.PAUSED: Concern.PAUSED}
"""what the state of a run that told its end asks for; of those not named nothing"""


def status(repo: Repository, environment: str | None) -> StatusBoard:
    """Return where every change stands in one or all environments, by their journals and the decisions in git.

    A target out of reach is named, with what that hides. Raises JournalBroken for a journal that tells no true story.
    """
    ending = repo.tell_what_ends()
    names = [environment] if environment else sorted(repo.policy.environments)
    boards = [board(repo, repo.policy.environment(name)) for name in names]
    changes = (change for each in boards for change in each.changes)
    silent = tuple(one for each in boards for one in each.silent)
    return StatusBoard(changes=_ordered(changes), silent=silent, ending=ending)


def board(repo: Repository, entry: Environment) -> StatusBoard:
    """Return where every change stands in one environment, in no order."""
    silent = _silent(repo, entry)
    try:
        with open_journal(entry, repo.environ, repo=repo.policy.repo, install=False) as journal:
            states = replay(journal.entries(environment=entry.name))
            told = [_told(repo, state, _busy(journal, state)) for state in states.values()]
            ran = {change: state for (change, _), state in states.items()}
            told = proposed.merged(told, proposed.proposals(repo, entry, ran, journal.at_work))
    except UNREACHABLE as error:
        silent = (_silence(entry, entry.journal, error), *silent)
        told = proposed.proposals(repo, entry, None, None)
    owing = glass.owing(repo, entry, told)
    return StatusBoard(changes=tuple(_due(repo, one) for one in owing), silent=silent)


def _ordered(changes: Iterable[ChangeStatus]) -> tuple[ChangeStatus, ...]:
    order = list(Concern)
    return tuple(
        sorted(changes, key=lambda one: (order.index(one.concern), -(one.at.timestamp() if one.at else 0), one.change))
    )


def _due(repo: Repository, one: ChangeStatus) -> ChangeStatus:
    concern = Concern.REVIEW if one.owed and one.concern is Concern.ENDED else one.concern
    following = one.next
    if concern is Concern.REVIEW:
        following = f"okto-change review {one.change} --env {one.environment} -m TEXT"
    return replace(one, concern=concern, next=following, title=one.title or title(repo, one.change))


# ------------------------------------------------------------------ who gives no answer


def _silent(repo: Repository, entry: Environment) -> tuple[Silence, ...]:
    """Ask each target but the journal's whether it can be reached."""
    found = []
    for name, target in entry.targets.items():
        if name == entry.journal:
            continue
        try:
            if isinstance(target, PostgresTarget):
                connect(target, repo.environ, install=False).close()
            else:
                root(target, repo.environ)
        except UNREACHABLE as error:
            found.append(_silence(entry, name, error))
    return tuple(found)


def _silence(entry: Environment, target: str, error: OktoError) -> Silence:
    hides = "no change that writes there can be run or taken back"
    if target == entry.journal:
        hides = "the journal is there: what ran, what runs and what is stuck cannot be told"
    return Silence(environment=entry.name, target=target, message=error.message, hides=hides, hint=error.hint)


# ------------------------------------------------------------------ what the journal tells of a change


def _busy(journal: Journal, found: ChangeState) -> str | None:
    """Say who works on the change now, if its latest run has told no end; an ended run needs no question."""
    if found.latest is None or found.latest.finished:
        return None
    return journal.at_work(found.change, found.environment)


def _told(repo: Repository, found: ChangeState, busy: str | None) -> ChangeStatus:
    run = found.latest if busy else found.run or found.latest
    one = ChangeStatus(
        change=found.change,
        environment=found.environment,
        title=title(repo, found.change),
        state=found.state.value,
        run=run.id if run else None,
        at=run.last_at if run else None,
        digest=run.digest if run else None,
    )
    if busy and run is not None:
        stop = f"okto-change pause {run.id}" if run.batch else None
        return replace(one, state=run.state.value, detail=_working(run, busy), next=stop, concern=Concern.RUNNING)
    detail, following = _next(found)
    return replace(one, state=_state(found), detail=detail, next=following, concern=_concern(found))


def _working(run: Run, busy: str) -> str:
    what = "puts it back" if run.redo else "takes it back" if run.origin else "runs it"
    done = f"; {_far(run.progress)}" if run.progress else ""
    return (
        f"{run.started_by} {what} since {run.started_at:%H:%M:%S} UTC{done}; a command works on it right now ({busy})"
    )


def _far(progress: Progress) -> str:
    of = "" if progress.of is None else f" of about {max(progress.of, progress.chunk):,}"
    rows = "" if progress.rows is None else f", {progress.rows:,} rows so far"
    if progress.undo:
        return f"{progress.step}: {progress.standing or 0:,}{of} chunks still stand, at {progress.at:%H:%M:%S} UTC"
    return f"{progress.step}: chunk {progress.chunk:,}{of}{rows}, at {progress.at:%H:%M:%S} UTC"


def _concern(found: ChangeState) -> Concern:
    """Say what a change asks for that no command works on: by its state, and by what stands of a run that told no end."""
    run = found.run
    if run is None:
        return Concern.ENDED
    if found.unresolved is not None:
        return Concern.STUCK
    if not run.finished:
        return Concern.PAUSED if found.standing or found.left else Concern.ENDED
    return CONCERNS.get(found.state, Concern.ENDED)


def _state(found: ChangeState) -> str:
    run = found.run
    if run is None or run.finished:
        return found.state.value
    left = left_by(run)
    if not found.unresolved and (found.undone or (run.origin and found.applied)):
        left = (
            State.UNDONE if found.undone else State.APPLIED
        )  # the run that broke off is an undo or a redo that did nothing
    return f"{left.value} (no end was written)"


def _next(found: ChangeState) -> tuple[str | None, str | None]:
    """Say what to know and what to do about a change in this state."""
    place = f"{found.change} --env {found.environment}"
    if found.unresolved is not None:
        run, pending = found.unresolved
        what = "an edit" if pending.kind is EventKind.EDITING else "a COMMIT"
        detail = f"run {run} announced {what} of {pending.step!r} and told no end; the next command finds out what became of it"
        return detail + _how_far(found), f"okto-change {'rollback' if pending.undo else 'apply'} {place}"
    if found.standing is None:
        return _nothing_stands(found), f"okto-change rollback {place} --dry-run" if found.left else None
    run = found.standing[0]
    detail = _what_stands(found) + _how_far(found)
    if found.state is State.CONFLICT:
        detail += "; an undo stopped where somebody changed what it left, which its dry run names"
        return detail, f"okto-change rollback {place} --dry-run"
    purged = next((known.purged_at for known in found.runs if known.id == run), None)
    if purged is not None:
        return f"{detail}; its images were purged on {purged:%Y-%m-%d}, so it cannot be put back from them", None
    if found.half is not None and found.half.redo:
        return (
            f"{detail}; a redo has put a part of it back",
            f"okto-change redo {place}, or okto-change rollback {place}",
        )
    if found.half is not None:
        return f"{detail}; a part of it is taken back", f"okto-change rollback {place}"
    undoing = found.state is State.PAUSED and found.run is not None and found.run.origin is not None
    if found.applied or undoing:
        return detail, f"okto-change rollback {place}"
    return detail, f"okto-change resume {run}, or okto-change rollback {place}"


def _what_stands(found: ChangeState) -> str:
    """Say what of a run stands committed: all, some of its parts (as they are counted in the journal), or a part of a batch."""
    run, units = found.standing or ("", ())
    if found.applied:
        return f"all that run {run} did stands committed"
    whole = next((known.whole for known in found.runs if known.id == run), ())
    parts = [unit for unit in units if unit in whole]
    if found.half is not None or not parts:
        return f"run {run} stands committed in part"
    several = len(parts) > 1
    return f"part{'s' if several else ''} {', '.join(parts)} of run {run} stand{'' if several else 's'} committed"


def _how_far(found: ChangeState) -> str:
    """Say how far a batch came that is paused or broke off, and since when."""
    run = found.run
    if run is None or (run.finished and found.state is not State.PAUSED):
        return ""
    far = f"; {_far(run.progress)}" if run.progress else ""
    return far + (f"; {run.reason} ({run.last_at:%Y-%m-%d %H:%M} UTC)" if found.state is State.PAUSED else "")


def _nothing_stands(found: ChangeState) -> str | None:
    if found.run is None:
        return None
    if found.left is not None:
        return f"run {found.left[0]} is taken back but for what others changed since, which the dry run names"
    return found.run.reason if found.run.finished else "its process is gone; it was rolled back and nothing was changed"


def title(repo: Repository, change: str) -> str:
    """Return a change's title by the working tree, '' where it is not there or cannot be read."""
    try:
        return read.load(change, repo.worktree_files(change)).title
    except OktoError:
        return ""
