"""A batch step: its statements once for each chunk of a table, every chunk a transaction that proves and accounts for itself.

The cursor is a row that the chunk's own transaction writes (``okto_change.chunk``), so a chunk is done exactly when its
rows are changed: whatever kills this process, the next one finds the first key that is not done. What the plan itself
calls wrong (a check, a bound, rows without image) has everything taken back, as in every run. What only came between
(a lock, a lost connection, Ctrl-C) pauses the run where it is: nobody loses three hours to a lock timeout.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from okto_change.database import chunks, state
from okto_change.database.chunks import Opened, Range, Through
from okto_change.database.session import REPEATABLE_READ, Session
from okto_change.errors import DatabaseError, Halted, OktoError, Paused, Stuck, TargetHeld, Unaccounted
from okto_change.execution import checks, choosing, giving_way, images, interrupts, transactions, units, work
from okto_change.execution.course import Course, added, bounds, counted, demand_most, see, writes_of
from okto_change.execution.images.pins import pinned
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit, Unit
from okto_change.model import Batch, Event, EventKind

Events = Generator[Event, None, None]
T = TypeVar("T")


def commit(job: Job, unit: SqlUnit) -> Events:
    """Run a batch step from its first chunk that is not done, and close it.

    Raises Paused when something came between while chunks stand; what ``transactions.retried`` raises when the plan is
    wrong or nothing stands yet.
    """
    batch = batch_of(unit)
    try:
        course = yield from _begin(job, unit, batch)
        yield job.event(
            EventKind.STEP_STARTED,
            unit.name,
            target=unit.target,
            unit=unit.number,
            chunk=course.number + 1,
            of=course.opened.chunks,
        )
        rest = giving_way.Rest()
        while (yield from _next(job, unit, batch, course, rest)):
            yield from giving_way.between(job, unit, batch, rest)
        job.look()
        yield from held_off(job, unit, lambda session: _close(job, unit, session, course))
    except (OktoError, KeyboardInterrupt) as error:
        if unit.number in job.seen.committed and came_between(error):
            raise paused_by(error) from error
        raise


def among(units: Iterable[Unit]) -> bool:
    """Whether one of these units runs in chunks."""
    return any(isinstance(unit, SqlUnit) and unit.batch is not None for unit in units)


def came_between(error: BaseException) -> bool:
    """Whether an error says nothing about the plan: an interrupt, the server, a lock, a pause that was asked for, a no."""
    if isinstance(error, Stuck):
        return False
    return isinstance(error, KeyboardInterrupt | Paused | Halted | DatabaseError) or isinstance(
        error.__cause__, DatabaseError
    )


def paused_by(error: OktoError | KeyboardInterrupt) -> Paused:
    """Return what came between as a pause; after somebody's no it is not simply gone on with."""
    return Paused(*words(error), hint=error.hint if isinstance(error, Halted) else None)


def words(error: OktoError | KeyboardInterrupt) -> tuple[str]:
    """Return what came between, as the message of the pause."""
    if isinstance(error, OktoError):
        return (error.message if error.where is None else f"{error.where}: {error.message}",)
    return (f"interrupted by {error}" if str(error) else "interrupted",)


def batch_of(unit: SqlUnit) -> Batch:
    """Return how a batch step is run. Raises ValueError for another unit."""
    if unit.batch is None:
        raise ValueError(f"{unit.name} is no batch")
    return unit.batch


# ------------------------------------------------------------------------------ the beginning


def _begin(job: Job, unit: SqlUnit, batch: Batch) -> Generator[Event, None, Course]:
    """Fix what the batch goes through, or find how far an earlier process got."""
    session = job.targets.ready(unit.target)
    chunks.end_pause(session, job.run)
    opened = chunks.load(session, job.run, str(unit.number))
    if opened is None:
        opened = yield from transactions.retried(job, unit, lambda fresh: _open(job, unit, batch, fresh))
    stands = chunks.standing(session, job.run, str(unit.number))
    if stands.undone:
        raise Stuck(
            f"{stands.undone} chunks of {unit.name} were taken back already",
            where=unit.target,
            state=f"{stands.count} chunks stand; nothing was changed now",
            hint=f"go on with: okto-change rollback {job.lock.change} --env {job.lock.environment}",
        )
    course = Course(
        opened=opened, number=stands.latest, last=stands.last, verdicts=job.seen.checks.get(unit.number, ())
    )
    if stands.count:
        course.rows = chunks.totals(session, job.run, str(unit.number))
        course.writes = writes_of(chunks.written(session, job.run, str(unit.number)))
    see(job, unit, course)
    return course


def _open(job: Job, unit: SqlUnit, batch: Batch, session: Session) -> Generator[Event, None, Opened]:
    session.begin(unit.timeouts(), isolation=REPEATABLE_READ)
    transactions.hold(job, session)
    giving_way.demand_visible(batch, session)
    job.seen.checks[unit.number] = ()
    for check in unit.before:
        yield from work.judge_before(job, unit, check, session)
    opened = survey(unit, batch, session)
    chunks.keep(session, job.run, str(unit.number), opened)
    session.commit()
    return opened


def survey(unit: SqlUnit, batch: Batch, session: Session) -> Opened:
    """Return what is fixed before the first chunk, in the open transaction."""
    invariants = {check.name: tuple(map(tuple, work.ask(session, check)[0])) for check in unit.invariants}
    go = chunks.through(session, batch)
    with interrupts.allowed(), pinned(session):
        upper = chunks.largest(session, go)
    return Opened(upper=upper, chunks=chunks.estimated(session, go), invariants=invariants)


# ------------------------------------------------------------------------------ one chunk


def _next(job: Job, unit: SqlUnit, batch: Batch, course: Course, rest: giving_way.Rest) -> Generator[Event, None, bool]:
    started = time.monotonic()
    with job.beside():
        blocked = yield from held_off(job, unit, lambda session: _chunk(job, unit, batch, session, course))
    rest.after(time.monotonic() - started, blocked or 0)
    return blocked is not None


def held_off(job: Job, unit: SqlUnit, attempt: transactions.Attempt[T]) -> Generator[Event, None, T]:
    """Run one transaction. A batch that has done something waits for another run that holds the target, however long."""
    while True:
        try:
            return (yield from transactions.retried(job, unit, attempt))
        except TargetHeld as held:
            if unit.number not in job.seen.committed:
                raise
            yield job.event(EventKind.WAITING, unit.name, unit=unit.number, reason=held.message)
            giving_way.obey(job, job.targets.ready(unit.target))


def _chunk(
    job: Job, unit: SqlUnit, batch: Batch, session: Session, course: Course
) -> Generator[Event, None, int | None]:
    """Do and commit the next chunk; return how many sessions waited for it at its end, None when there is none."""
    session.begin(unit.timeouts(), isolation=REPEATABLE_READ)
    transactions.hold(job, session)
    go, found = find(job, unit, session, course)
    if found is None:
        session.rollback()
        return None
    this = units.chunk(unit, course.number + 1)
    place = {"unit": unit.number, "target": unit.target, "chunk": course.number + 1, "of": course.opened.chunks}
    yield job.event(EventKind.CHUNK_STARTED, unit.name, **place)
    marks: list[state.Backend] = []
    capture = yield from perform(
        job, this, session, go, found, lambda: _announce(job, unit, session, course, place, marks)
    )
    after = added(job, unit, course, found)
    if capture.triggers:
        images.finish(session, capture)
    proven = capture.imaged is not None and capture.imaged.chunk is not None
    blocked = _record(job, unit, session, after, found, ours=proven)
    transactions.commit(job, unit.target, session, marks[0])
    job.seen.committed.add(unit.number)
    course.number, course.last, course.rows, course.writes = after.number, after.last, after.rows, after.writes
    see(job, unit, course)
    yield job.event(EventKind.COMMITTED, unit.name, **place, total=after.total)
    if capture.triggers:
        transactions.tidy(job.targets, unit.target)
    return blocked


def _announce(
    job: Job, unit: SqlUnit, session: Session, course: Course, place: dict[str, object], marks: list[state.Backend]
) -> Events:
    """Announce the COMMIT of a chunk whose statements have run; leave in ``marks`` which transaction it is."""
    after = counted(job, unit, course)
    demand_most(unit, after)
    job.look()
    known = job.chunks.get(unit.number)
    marks.append(state.backend(session, known.xid if known else None))
    about = {**place, "total": after.total, **transactions.marked(marks[0])}
    yield job.event(EventKind.COMMITTING, unit.name, **about)


def find(job: Job, unit: SqlUnit, session: Session, course: Course) -> tuple[Through, Range | None]:
    """Return what is gone through, and the keys of the next chunk, in the open transaction."""
    go, upper = course.go, course.opened.upper
    with interrupts.allowed():
        if go is not None and upper is not None:
            found = choosing.hold(job, unit, session, course.number + 1, chunks.seeking(go, course.last, upper))
            if found is not None:
                return go, chunks.found_in(found[0])
        go = course.go = chunks.through(session, batch_of(unit))
        if upper is None:
            return go, None
        with pinned(session):
            return go, chunks.following(session, go, course.last, upper)


def perform(
    job: Job, this: SqlUnit, session: Session, go: Through, found: Range, ran: Callable[[], Events] | None = None
) -> Generator[Event, None, images.Capture]:
    """Do one chunk in the open transaction and prove that it kept to its keys; of its events only failures are told.

    ``ran`` tells more when all of its statements have run: before the proof, which takes a while, or behind its checks.
    """
    chunks.enter(session, found)
    known = job.chunks.setdefault(this.number, images.Chunks())
    known.table, known.key = go.oid, batch_of(this).key
    if known.begun is None:
        known.xid = None
    known.inside = lambda key: chunks.inside(go, found, key)
    early = ran if not this.inside and not this.invariants else None
    capture = yield from _quietly(work.perform(job, this, session), len(this.statements), early)
    with interrupts.allowed():
        _demand_inside(this, session, go, found, capture)
    if ran is not None and early is None:
        yield from ran()
    return capture


def _quietly(
    events: Generator[Event, None, T], statements: int, ran: Callable[[], Events] | None
) -> Generator[Event, None, T]:
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: T = end.value
            return result
        if event.kind is EventKind.CHECK_FAILED:
            yield event
        statements -= event.kind is EventKind.STATEMENT_DONE
        if event.kind is EventKind.STATEMENT_DONE and not statements and ran is not None:
            yield from ran()


def _demand_inside(this: SqlUnit, session: Session, go: Through, found: Range, capture: images.Capture) -> None:
    if capture.imaged is not None and capture.imaged.chunk is not None:
        return  # its images were proven to lie in the range
    with pinned(session):
        own = chunks.leaves(session, go)
        images_of = _imaged_ahead(this, capture, own)
        if images_of is not None and chunks.own(session, go, found) == images_of:
            return
        tables = {relid: leaf.table for relid, leaf in capture.tables.items() if relid in own}
        beyond = chunks.beyond(session, go, found, capture.id, tables)
    if beyond:
        raise Unaccounted(
            f"{this.name}: chunk {this.chunk} changed {beyond} rows outside its range of the key",
            where=this.target,
            state="rolled back; nothing was changed",
            hint="restrict every statement to `{{ batch }}`, and change the key nowhere",
        )


def _imaged_ahead(this: SqlUnit, capture: images.Capture, own: frozenset[int]) -> int | None:
    """Return how many rows of the batch's table were updated, where counting them in the range proves that all lie in it.

    That is so after rows were imaged ahead and only updated, and no statement sets the key: each image was then proven to
    be a row of the same key that this transaction wrote, and no other row to be written. None: look at the images.
    """
    batch = batch_of(this)
    sets_key = any(batch.key in statement.columns for statement in this.statements)
    if capture.imaged is None or sets_key or capture.imaged.inserts & own:
        return None
    counts = {op: rows for (relid, op), rows in capture.imaged.counts.items() if relid in own}
    if counts.keys() - {"U"}:
        return None
    return sum(rows for (relid, _), rows in capture.imaged.counts.items() if relid in own)


def _record(job: Job, unit: SqlUnit, session: Session, course: Course, found: Range, *, ours: bool) -> int:
    """Write that a chunk is done; return how many sessions wait for it. ``ours`` as for ``chunks.record``."""
    rows = [result.rows for result in job.seen.statements[unit.number]]
    writes = {w.table: (w.inserted, w.updated, w.deleted, w.imaged) for w in job.seen.writes[unit.number]}
    blocked = chunks.record(
        session, job.run, str(unit.number), course.number, found, rows=rows, writes=writes, ours=ours
    )
    if course.number == 1:
        _applied(job, unit, session)
    return blocked


def _applied(job: Job, unit: SqlUnit, session: Session) -> None:
    job.use_up(session)
    state.record_applied(
        session,
        run=job.run,
        unit=str(unit.number),
        change=job.lock.change,
        environment=job.lock.environment,
        digest=job.lock.digest,
        executor=str(job.authority.get("person", "")),
    )


# ------------------------------------------------------------------------------ the end


def _close(job: Job, unit: SqlUnit, session: Session, course: Course) -> Events:
    """Judge what can only be judged over the whole, and call the batch done."""
    session.begin(unit.timeouts(), isolation=REPEATABLE_READ)
    transactions.hold(job, session)
    job.seen.checks[unit.number] = course.verdicts
    yield from judge_whole(job, unit, session, course)
    if course.number == 0:
        _applied(job, unit, session)
    chunks.close(session, job.run, str(unit.number))
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, unit=unit.number, target=unit.target, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    job.seen.committed.add(unit.number)
    yield job.event(EventKind.COMMITTED, unit.name, unit=unit.number, target=unit.target)


def judge_whole(job: Job, unit: SqlUnit, session: Session, course: Course) -> Events:
    """Judge the bounds, the ``inside`` checks and the invariants over all chunks. Raises StepFailed, Unaccounted."""
    for statement, bound, rows in bounds(unit, course):
        if rows is None or rows not in bound:
            raise Unaccounted(
                f"all chunks together changed {rows} rows, the plan allows {bound}",
                where=statement.where,
                hint="find out why, then change `rows:` or the statement, and lock again",
            )
    for check in unit.inside:
        yield from work.verdict(job, unit, check, checks.judge(check, *work.ask(session, check)))
    for check in unit.invariants:
        before = course.opened.invariants[check.name]
        yield from work.verdict(job, unit, check, checks.compare(check, before, *work.ask(session, check)))
