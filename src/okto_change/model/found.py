"""What analysis knows of the statements, and what the live catalogue says of the tables they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from okto_change.model.base import Where, type_
from okto_change.model.plan import Risk


class StatementKind(StrEnum):
    """What a statement does, from its root node; OTHER means: not analysed, the rehearsal is the only evidence."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    COPY = "copy"
    TRUNCATE = "truncate"
    DDL = "ddl"
    TEMPORARY = "temporary"
    """makes, alters or drops temporary objects, which nobody else sees and which need no undo"""
    REFRESH = "refresh"
    """computes a materialized view anew; the undo does so again, when the rows below are back"""
    SET = "set"
    TRANSACTION = "transaction"
    OTHER = "other"

    @property
    def writes_rows(self) -> bool:
        """Whether its command tag counts changed rows, so that `rows` of the plan binds it."""
        return self in {
            StatementKind.INSERT,
            StatementKind.UPDATE,
            StatementKind.DELETE,
            StatementKind.MERGE,
            StatementKind.COPY,
            StatementKind.TRUNCATE,
        }


@type_
class Preview:
    """A read-only SELECT cut from the author's bytes: the rows that the statement would change, as an estimate.

    ``select`` yields the whole target row as its first column ``okto_row`` (row text) and, for UPDATE, one text column per
    SET item. ``columns`` names those SET columns in order. ``count`` yields one number.

    Its parts, to read other columns of the same rows: ``prefix`` WITH as written or '', ``alias`` of the target, ``rows``
    FROM and WHERE. ``joined``: a row can come twice. ``sets`` are all columns assigned, ``calls`` functions called in the parts.
    ``values`` are the expressions assigned to ``sets``, in their order, () where one cannot be asked for beforehand at little
    cost; ``value_calls`` are the functions called in them; ``uniform``: they read nothing, so every row gets the same ones.
    """

    table: str
    columns: tuple[str, ...]
    select: str
    count: str
    prefix: str = ""
    alias: str = ""
    rows: str = ""
    joined: bool = False
    sets: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    value_calls: tuple[str, ...] = ()
    uniform: bool = False

    @property
    def one(self) -> str:
        """A SELECT with one column of ours for each of the rows."""
        return f"{self.prefix}SELECT 1 {self.rows}"


@type_
class Statement:
    """One statement of a step: ``text`` is the slice from byte ``start`` to ``end`` of the step's rendered UTF-8 text."""

    step: str
    index: int
    start: int
    end: int
    text: str
    where: Where
    kind: StatementKind
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    preview: Preview | None = None
    data: str | None = None
    """the inline data of ``COPY ... FROM STDIN``, without the closing ``\\.``; ``text`` is then the command alone"""
    instead: str | None = None
    """what is done instead of dropping what holds rows, in words; None: the text runs as it is"""


class Severity(StrEnum):
    """ERROR stops the change; WARNING is shown to the approver; NOTE informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@type_
class Finding:
    """A rule that matched: ``code`` and ``title`` name the rule, ``message`` says what is here, then effect and remedy."""

    code: str
    title: str
    severity: Severity
    where: Where
    message: str
    effect: str
    remedy: str


@type_
class Analysis:
    """What static analysis knows of a rendered plan."""

    statements: tuple[Statement, ...]
    findings: tuple[Finding, ...]
    risk: Risk
    risk_reasons: tuple[str, ...]
    objects: tuple[str, ...]


@type_
class Column:
    """A live column; ``type`` as ``format_type`` prints it, ``generated``/``identity`` as in ``pg_attribute`` ('' if none)."""

    name: str
    type: str
    attnum: int
    nullable: bool
    generated: str = ""
    identity: str = ""


@type_
class Table:
    """A relation as found. ``kind`` is ``pg_class.relkind``; ``key`` the primary key, else a unique NOT NULL index, else None.

    ``unique`` lists every unique index's columns, ``referenced_by`` the qualified names of tables whose foreign keys
    point here. ``estimated_rows`` is ``reltuples`` (-1 unknown).
    """

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] | None
    unique: tuple[tuple[str, ...], ...] = ()
    referenced_by: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    estimated_rows: int = -1
    row_security: bool = False

    @property
    def qualified(self) -> str:
        """Schema and name, as people write them."""
        return f"{self.schema}.{self.name}"


@type_
class Found:
    """The live catalogue, as far as a plan names it: names as the plan has them (folded, unquoted) to tables, None if missing."""

    tables: Mapping[str, Table | None]
    functions: Mapping[str, str] = field(default_factory=dict)
    """function name -> worst volatility ('v', 's', 'i')"""
    server_version: int = 0
    """as ``server_version_num``, e.g. 150018"""
    bodies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """function called, or ``insert``, ``update``, ``delete`` and a table -> functions of the database that may run, with text"""


@type_
class Identity:
    """Which database this really is, read after connecting."""

    system_identifier: str
    database: str
    server_version: int
    user: str
    primary: bool
    superuser: bool
