"""A playground: a database where random schemas come and go, changes are applied and taken back, and every row is compared."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from okto_change.database.session import READ_COMMITTED, Session, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import Conflict, DatabaseError, NotReversible, OktoError, Unaccounted
from okto_change.execution import images
from okto_change.model import Timeouts
from tests.plugins.attempts import guarded
from tests.property.schemas import Schema
from tests.property.scripts import Item
from tests.property.values import quoted

Rows = dict[str, list[str]]
LIMITS = Timeouts(lock=5_000, statement=20_000)
PINNED = (
    "SET search_path = pg_catalog; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex';"
    " SET intervalstyle = 'postgres'; SET row_security = off"
)
TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_|^information_schema$|^okto_change$' ORDER BY 1, 2"""
MARKS = {
    "large objects": "SELECT loid, pageno, data FROM pg_largeobject",
    "triggers": """SELECT tgrelid::regclass, tgname, tgenabled, tgdeferrable, tginitdeferred FROM pg_trigger
                    WHERE NOT tgisinternal AND tgname !~ 'okto_change' AND tgrelid NOT IN
                          (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace('okto_change'))""",
    "triggers of constraints": """SELECT tgrelid::regclass, tgfoid::regproc, tgenabled, count(*) FROM pg_trigger
                                   WHERE tgisinternal GROUP BY 1, 2, 3""",
    "rules": "SELECT ev_class::regclass, rulename, ev_enabled FROM pg_rewrite WHERE ev_class >= 16384",
    "relations": """SELECT oid::regclass, relkind, relacl, reloptions, relpersistence, relrowsecurity, relforcerowsecurity, relreplident,
                           relowner::regrole FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't' AND relkind <> 't'
                       AND relnamespace <> to_regnamespace('okto_change') AND relnamespace <> 'pg_toast'::regnamespace""",
    "columns": """SELECT attrelid::regclass, attname, atttypid::regtype, attnotnull, attnum FROM pg_attribute
                   WHERE attrelid IN (SELECT oid FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p') AND relpersistence <> 't'
                                         AND relnamespace <> to_regnamespace('okto_change')) AND attnum > 0""",
}
"""what else must be as it was"""

KEYS = """
    SELECT f.conname, f.conrelid::regclass::text,
           string_agg(format('n.%I IS NOT NULL', c.attname), ' AND ') || format(' AND NOT EXISTS (SELECT FROM %s AS r WHERE ', f.confrelid::regclass)
             || string_agg(format('r.%I = n.%I', p.attname, c.attname), ' AND ') || ')'
      FROM pg_constraint AS f CROSS JOIN LATERAL unnest(f.confkey, f.conkey) AS k (parent, child)
      JOIN pg_attribute AS p ON p.attrelid = f.confrelid AND p.attnum = k.parent
      JOIN pg_attribute AS c ON c.attrelid = f.conrelid AND c.attnum = k.child
      JOIN pg_class AS r ON r.oid = f.conrelid AND r.relkind = 'r'
     WHERE f.contype = 'f' AND f.connamespace = 'app'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_constraint AS g WHERE g.oid = f.conparentid AND g.conrelid = f.conrelid)
     GROUP BY f.oid, f.conname, f.conrelid, f.confrelid"""
"""foreign keys: name, table, and the condition that its row ``n`` refers to nothing"""


def dump(connection: psycopg.Connection) -> Rows:
    """Return every row of every table as text under pinned settings, and the state of what rows depend on."""
    found: Rows = {}
    with connection.transaction():
        connection.execute(PINNED.replace("SET ", "SET LOCAL "))
        for schema, table in connection.execute(TABLES).fetchall():
            query = sql.SQL("SELECT (okto_row.*)::text FROM ONLY {} AS okto_row").format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = sorted(row[0] for row in connection.execute(query))
        for mark, text in MARKS.items():
            found[mark] = sorted(map(str, connection.execute(text).fetchall()))
    return found


def difference(found: Rows, wanted: Rows) -> str:
    """Say where two dumps differ, '' if nowhere."""
    lines = []
    for name in sorted(found.keys() | wanted.keys()):
        have, want = list(found.get(name, [])), list(wanted.get(name, []))
        for row in list(have):
            if row in want:
                have.remove(row)
                want.remove(row)
        if have or want:
            lines.append(f"{name}: found {have[:4]}, wanted {want[:4]}")
    return "; ".join(lines)


@dataclass
class Told:
    """How an example ended, in one word, and why."""

    verdict: str
    why: str = ""


@dataclass
class Playground:
    """One database with schema ``app``; ``session`` is ours, ``plain`` is anybody's (a superuser in autocommit)."""

    conninfo: str
    session: Session
    plain: psycopg.Connection
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    made: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def make(self, schema: Schema) -> str | None:
        """Make the schema anew; return why it cannot be made, None if it was. Seeds that fail are left out.

        The sessions are young ones: a server process keeps what it compiled for every table that it ever saw, and looks all of
        that through whenever a table goes, which made an example after a thousand others cost seconds.
        """
        if next(self.made) % 10 == 0:
            self.session.close()
            self.plain.close()
            self.plain = plain_session(self.conninfo)
        if self.session.closed:
            self.session = connect("target", self.conninfo)
        self.plain.execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app")
        try:
            for text in schema.ddl:
                self.plain.execute(text)
        except psycopg.Error as error:
            return str(error)
        for text in schema.seeds:
            self.attempt(text)
        for text in schema.later:
            self.attempt(text)
        return None

    def attempt(self, text: str) -> tuple[bool, int]:
        """Run one statement as somebody else, in a transaction of its own; return whether it worked, and its rows."""
        try:
            return True, self.plain.execute(text).rowcount
        except psycopg.Error:
            return False, -1

    def possible(self, items: Iterable[Item]) -> list[Item]:
        """Return the items that run without an error one after the other, tried in a transaction that is rolled back."""
        kept = []
        with self.plain.cursor() as cursor:
            cursor.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '2s'"
            )
            for item in items:
                cursor.execute("SAVEPOINT playground")
                try:
                    for text in item:
                        _send(cursor, text)
                    cursor.execute("RELEASE SAVEPOINT playground")
                    kept.append(item)
                except psycopg.Error:
                    cursor.execute("ROLLBACK TO SAVEPOINT playground")
            try:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg.Error:
                kept = []
            cursor.execute("ROLLBACK")
        return kept

    def spelled(self, text: str) -> str:
        """Return work of others in full: ``AGAIN table`` writes what a row that was written last holds now."""
        word, _, table = text.partition("AGAIN ")
        if word or not table:
            return text
        last = f"SELECT id, a, b FROM {table} WHERE id IS NOT NULL AND a IS NOT NULL AND b IS NOT NULL ORDER BY age(xmin), id LIMIT 1"
        try:
            row = self.plain.execute(last).fetchone()
        except psycopg.Error:
            row = None
        return (
            "SELECT 1" if row is None else f"UPDATE {table} SET a = {row[1]}, b = {quoted(row[2])} WHERE id = {row[0]}"
        )

    # ------------------------------------------------------------------ ours

    def run_name(self) -> str:
        """Return a name for a run that no other has."""
        return f"run-{next(self.numbers)}"

    def rehearse(self, items: Sequence[Item], names: Sequence[str]) -> str | None:
        """Rehearse change and undo; return why the change is refused, None if its undo is proven."""
        run = self.run_name()
        try:
            attempt = guarded(self.session, run, "1", names, lambda: self.change(items), timeouts=LIMITS)
            images.sample(self.session, run)
            images.restore(self.session, run, unit="1")
            proof = images.proof(self.session, attempt.capture)
        except OktoError as error:
            return "; ".join((type(error).__name__, error.message, *error.faults))
        finally:
            self.session.rollback()
        return None if proof.proven else str(proof.reason)

    def apply(self, items: Sequence[Item], names: Sequence[str]) -> str:
        """Apply; return the run. Raises OktoError with everything rolled back."""
        run = self.run_name()
        attempt = guarded(self.session, run, "1", names, lambda: self.change(items), timeouts=LIMITS)
        try:
            images.finish(self.session, attempt.capture)
            self.session.commit()
        finally:
            self.session.rollback()
        images.clean_up(self.session)
        return run

    def roll_back(self, run: str, *, only_clean: bool = False) -> tuple[str, images.Restored]:
        """Take a run back; return the run that did. Raises OktoError with nothing changed."""
        back = self.run_name()
        self.session.begin(LIMITS, isolation=READ_COMMITTED)
        try:
            restored = images.restore(self.session, run, unit="1", undo_run=back, only_clean=only_clean)
            self.session.commit()
        finally:
            self.session.rollback()
        images.clean_up(self.session)
        return back, restored

    def change(self, items: Sequence[Item]) -> None:
        """Run the author's statements in the open transaction."""
        for item in items:
            for text in item:
                statement, _, data = text.partition("\0")
                if data:
                    self.session.copy_in(statement, data)
                else:
                    self.session.run(statement)

    # ------------------------------------------------------------------ the oracle

    def identity(self, items: Sequence[Item], names: Sequence[str], *, rehearsed: bool) -> Told:
        """Apply and take back, twice over; whatever is promised, every row must be as it was."""
        before = dump(self.plain)
        refusal = self.rehearse(items, names) if rehearsed else None
        if left := difference(dump(self.plain), before):
            return Told("silent", f"the rehearsal left: {left}")
        if refusal is not None:
            return Told("refused", refusal)
        try:
            run = self.apply(items, names)
        except OktoError as error:
            left = difference(dump(self.plain), before)
            return (
                Told("silent", f"failed but left: {left}")
                if left
                else Told("failed", "; ".join((error.message, *error.faults)))
            )
        after = dump(self.plain)
        told = self._taken_back(run, before, after)
        if told.verdict == "late" and rehearsed:
            told.verdict = "broken promise"
        return told

    def _taken_back(self, run: str, before: Rows, after: Rows) -> Told:
        try:
            back, _ = self.roll_back(run)
        except (Conflict, NotReversible, Unaccounted) as error:
            left = difference(dump(self.plain), after)
            why = "; ".join((error.message, *error.faults))
            return Told("silent", f"a conflict that changed: {left}") if left else Told("late", why)
        if left := difference(dump(self.plain), before):
            return Told("silent", left)
        try:
            redo, _ = self.roll_back(back)
            if left := difference(dump(self.plain), after):
                return Told("silent", f"redo: {left}")
            again, _ = self.roll_back(redo)
            if left := difference(dump(self.plain), before):
                return Told("silent", f"undo of redo: {left}")
            twice, _ = self.roll_back(again)
            if left := difference(dump(self.plain), after):
                return Told("silent", f"second redo: {left}")
            self.roll_back(twice)
        except (Conflict, NotReversible, Unaccounted) as error:
            return Told("late redo", "; ".join((error.message, *error.faults)))
        if left := difference(dump(self.plain), before):
            return Told("silent", f"undo of the second redo: {left}")
        return Told("net zero" if before == after else "reversible")

    def meanwhile(
        self, reference: Playground, items: Sequence[Item], names: Sequence[str], work: Sequence[str], *, strict: bool
    ) -> Told:
        """Apply, have others work, take back: a conflict that changes nothing, or exactly what their work alone gives."""
        try:
            run = self.apply(items, names)
        except OktoError as error:
            return Told("failed", error.message)
        start, applied = dump(reference.plain), dump(self.plain)
        work = [self.spelled(text) for text in work]
        alone, here = [reference.attempt(text) for text in work], [self.attempt(text) for text in work]
        now, wanted = dump(self.plain), dump(reference.plain)
        comparable = alone == here and (strict or _effect(start, wanted) == _effect(applied, now))
        try:
            self.roll_back(run)
        except (Conflict, NotReversible) as error:
            left = difference(dump(self.plain), now)
            left = left or ("" if error.faults or error.message else "nothing is named")
            return Told("silent", f"a conflict that changed: {left}") if left else Told("conflict")
        if not comparable:
            return Told("incomparable")
        left = difference(dump(self.plain), wanted)
        return Told("silent", left) if left else Told("kept")

    def redone(self, items: Sequence[Item], names: Sequence[str], work: Sequence[str]) -> Told:
        """Apply, take back, have others work, redo: a conflict that changes nothing, or the very effect of the change again."""
        before = dump(self.plain)
        try:
            run = self.apply(items, names)
            applied, broken = dump(self.plain), self.broken()
            back, _ = self.roll_back(run)
        except OktoError as error:
            return Told("failed", error.message)
        for text in work:
            self.attempt(self.spelled(text))
        now, before_redo = dump(self.plain), self.broken()
        try:
            self.roll_back(back)
        except (Conflict, NotReversible) as error:
            left = difference(dump(self.plain), now)
            left = left or ("" if error.faults or error.message else "nothing is named")
            return Told("silent", f"a conflict that changed: {left}") if left else Told("conflict")
        done = dump(self.plain)
        added, removed = _effect(before, applied)
        if (found := _effect(now, done)) != (added, removed):
            return Told("silent", f"the redo did {found}, the change {(added, removed)}")
        if fresh := self.broken() - broken - before_redo:
            return Told("silent", f"rows that refer to nothing now: {fresh}")
        return Told("kept")

    def broken(self) -> Counter[tuple[str, str]]:
        """Return the rows that refer to nothing, by foreign key."""
        found: Counter[tuple[str, str]] = Counter()
        for name, child, query in self.plain.execute(KEYS).fetchall():
            rows = self.plain.execute(f"SELECT (n.*)::text FROM ONLY {child} AS n WHERE {query}".encode())
            found.update((name, row[0]) for row in rows)
        return found


def _effect(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    return _minus(after, before), _minus(before, after)


def _minus(left: Rows, right: Rows) -> Rows:
    found = {name: list((Counter(rows) - Counter(right.get(name, []))).elements()) for name, rows in left.items()}
    return {name: rows for name, rows in found.items() if rows}


def _send(cursor: psycopg.Cursor, text: str) -> None:
    statement, _, data = text.partition("\0")
    if not data:
        cursor.execute(statement)
        return
    with cursor.copy(statement) as copy:
        copy.write(data)


def plain_session(conninfo: str) -> psycopg.Connection:
    """Connect as anybody. No statement lasts long: triggers that set each other off can keep one of them busy for hours."""
    connection = psycopg.connect(conninfo, autocommit=True)
    connection.execute("SET statement_timeout = '20s'")
    return connection


def open_playground(conninfo: str) -> Playground:
    """Prepare an empty database for playing. The caller closes ``session`` and ``plain``."""
    conninfo = make_conninfo(conninfo, options="-c search_path=app,public")
    session = connect("target", conninfo)
    ensure_schema(session)
    return Playground(conninfo, session, plain_session(conninfo))


__all__ = ["DatabaseError", "Playground", "Told", "difference", "dump", "open_playground"]
