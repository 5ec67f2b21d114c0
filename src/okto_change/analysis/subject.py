"""What a rule looks at: one statement as read, its step or check, and the plan around it."""

from __future__ import annotations

from collections.abc import Mapping

from okto_change.analysis.facts import Facts
from okto_change.model import ChangePlan, Check, Found, SqlStep, Statement, StatementKind, Table, Where
from okto_change.model.base import type_

_VERBS = {
    StatementKind.INSERT: ("insert",),
    StatementKind.COPY: ("insert",),
    StatementKind.UPDATE: ("update",),
    StatementKind.DELETE: ("delete",),
    StatementKind.TRUNCATE: ("delete",),
}
"""what a statement does to the tables that it writes, where its kind alone tells"""


@type_
class Setting:
    """A ``SET`` or ``set_config``. ``local`` means: for this transaction only. ``name`` is folded."""

    name: str
    local: bool


@type_
class Reading:
    """One statement with everything that its text alone says. ``script`` marks a statement of an undo script."""

    statement: Statement
    script: bool
    words: tuple[str, ...]
    """the leading words in upper case, past a WITH clause"""
    facts: Facts | None
    """what the parser says; None: not understood, or too large to try"""
    too_large: bool
    functions: tuple[str, ...]
    assigning: tuple[str, ...]
    """functions called in the SET list of an UPDATE"""
    choosing: tuple[str, ...]
    """functions called in WITH, FROM, USING and WHERE of an UPDATE or DELETE"""
    unbounded: bool
    """an UPDATE or DELETE without WHERE"""
    cursor: bool
    """``WHERE CURRENT OF``"""
    columnless: bool
    """an INSERT or COPY without a column list"""
    into_temporary: bool
    """a SELECT ... INTO TEMP"""
    settings: tuple[Setting, ...]
    copies: str | None
    """the other end of a COPY: STDIN, STDOUT, PROGRAM or FILE"""
    control: tuple[str, ...]
    """transaction commands in the body of a DO block"""
    foreign_letters: tuple[str, ...]
    escaped_names: tuple[str, ...]
    clauses: frozenset[str]
    """words outside brackets behind the leading ones, in upper case: CONCURRENTLY, CASCADE, ..."""

    @property
    def kind(self) -> StatementKind:
        """The statement's kind."""
        return self.statement.kind

    @property
    def temporary(self) -> bool:
        """Whether it makes a temporary object, which nobody else sees and which needs no undo."""
        made = self.words[:1] == ("CREATE",) and bool({"TEMP", "TEMPORARY"} & set(self.words[1:4]))
        return made or (self.into_temporary and self.kind in (StatementKind.DDL, StatementKind.TEMPORARY))


@type_
class Context:
    """The plan around a subject. ``readings`` are all statements of all steps in order, undo scripts included."""

    plan: ChangePlan
    found: Found | None
    demand_rows: bool
    demand_touches: bool
    readings: tuple[Reading, ...]

    @property
    def functions(self) -> Mapping[str, str]:
        """Function name -> volatility as the catalogue has it; empty offline."""
        return self.found.functions if self.found else {}

    def table(self, name: str) -> Table | None:
        """Return the live table behind a name, None offline or when it does not exist."""
        return self.found.tables.get(name) if self.found else None

    def missing(self, name: str) -> bool:
        """Whether the catalogue was asked for the name and has no such table."""
        return self.found is not None and name in self.found.tables and self.found.tables[name] is None


@type_
class Subject:
    """One thing to judge: a ``reading``, or a ``step`` or ``check`` with its ``readings``."""

    context: Context
    where: Where
    step: SqlStep | None = None
    reading: Reading | None = None
    check: Check | None = None
    readings: tuple[Reading, ...] = ()
    script: bool = False
    """the readings are those of the step's undo script"""

    @property
    def bodies(self) -> Mapping[str, str]:
        """Functions of the database that this statement may run, by call or as triggers, with their text; empty offline."""
        if self.reading is None or self.context.found is None:
            return {}
        verbs = _VERBS.get(self.reading.kind, ("insert", "update", "delete"))
        if self.reading.clauses & {"CONFLICT", "INSERT", "UPDATE", "DELETE", "MERGE"}:
            verbs = ("insert", "update", "delete")
        tables = (f"{verb} {name}" for verb in verbs for name in self.reading.statement.writes)
        roots = (*self.reading.functions, *tables)
        known = self.context.found.bodies
        return {name: text for root in roots for name, text in known.get(root, {}).items()}
