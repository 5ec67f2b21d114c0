"""sqlglot's tree of one statement -> plain facts. Import this module inside functions only: sqlglot is slow to import.

The tree answers questions (which tables, which columns, what does the condition compare); it never produces SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain

import sqlglot
from sqlglot import exp

from okto_change.analysis.chunking import ranges
from okto_change.analysis.facts import Facts, Tree
from okto_change.analysis.naming import fold, is_cte, table_name
from okto_change.analysis.partners import links, sources
from okto_change.analysis.truth import always_true, null_comparisons

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_ROOTS = (
    exp.Query,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Alter,
    exp.Drop,
    exp.TruncateTable,
    exp.Comment,
    exp.Grant,
    exp.Revoke,
    exp.Copy,
    exp.Set,
)
Nodes = Sequence[Tree]
"""Every node of a tree, the root first; walked once, since walking is what costs"""

_TABLE_KINDS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE")
_WRITERS = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


def read(text: str) -> Facts | None:
    """Return what the tree of ``text`` says; None when sqlglot cannot parse it, or into no root on the allow-list.

    sqlglot raises ParseError, TokenError, TypeError, RecursionError and more on valid PostgreSQL; each means: not
    understood.
    """
    try:
        root = parse(text)
        return None if root is None else facts(root)
    except Exception:
        logging.getLogger(__name__).debug("not understood", exc_info=True)
        return None


def parse(text: str) -> Tree | None:
    """Return the tree of one statement whose root is on the allow-list, else None. Raises whatever sqlglot raises."""
    roots = sqlglot.parse(text, read="postgres")
    if len(roots) != 1 or not isinstance(roots[0], _ROOTS) or roots[0].find(exp.Command):
        return None
    return roots[0]


def facts(root: Tree) -> Facts:
    """Return what a parsed statement says. Raises RecursionError for trees deeper than Python can walk."""
    nodes = tuple(root.walk())
    condition = root.args.get("where") if isinstance(root, exp.Update | exp.Delete) else None
    test = condition.this if condition else None
    return Facts(
        root=type(root).__name__.lower(),
        reads=_unique(table_name(table) for table in _read_tables(nodes)),
        writes=_unique(table_name(table) for table in _written_tables(nodes)),
        altered=_unique(table_name(table) for table in _altered_tables(root)),
        created=_unique(table_name(table) for table in _created_tables(nodes)),
        columns=_unique(chain(_assigned_columns(nodes), _listed_columns(nodes))),
        assigned=_unique(_assigned_columns(nodes)),
        own_columns=_own_columns(nodes, test),
        always_true=always_true(test) if test is not None else None,
        null_comparisons=null_comparisons(nodes),
        sources=sources(root),
        links=links(root, test),
        ranges=ranges(nodes),
        unordered_limits=sum(isinstance(node, exp.Select) and _picks_any(node) for node in nodes),
    )


def _read_tables(nodes: Nodes) -> Iterator[exp.Table]:
    if isinstance(nodes[0], exp.Drop | exp.Comment | exp.Grant | exp.Revoke):
        return
    others = {id(t) for t in (*_written_tables(nodes), *_created_tables(nodes), *_altered_tables(nodes[0]))}
    for node in nodes:
        named = isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier)
        if named and id(node) not in others and not is_cte(node):
            yield node


def _written_tables(nodes: Nodes) -> Iterator[exp.Table]:
    root = nodes[0]
    if isinstance(root, exp.TruncateTable):
        yield from (table for table in root.expressions if isinstance(table, exp.Table))
    if isinstance(root, exp.Copy) and root.args.get("kind"):
        yield from _as_table(root.this)
    for node in nodes:
        if isinstance(node, _WRITERS) and not isinstance(node.parent, exp.When):
            yield from _as_table(node.this)


def _created_tables(nodes: Nodes) -> Iterator[exp.Table]:
    root = nodes[0]
    if isinstance(root, exp.Create) and root.kind in ("TABLE", "VIEW"):
        yield from _as_table(root.this)
    for node in nodes:
        if isinstance(node, exp.Into):
            yield from _as_table(node.this)


def _altered_tables(root: Tree) -> Iterator[exp.Table]:
    if isinstance(root, exp.Alter | exp.Drop | exp.Comment) and root.args.get("kind") in _TABLE_KINDS:
        for node in (root.this, *(root.args.get("tables") or ())):
            yield from _as_table(node)
    elif isinstance(root, exp.Grant | exp.Revoke):
        yield from _as_table(root.args.get("securable"))
    elif isinstance(root, exp.Create) and isinstance(root.this, exp.Index):
        yield from _as_table(root.this.args.get("table"))


def _as_table(node: object) -> Iterator[exp.Table]:
    inner = node.this if isinstance(node, exp.Schema) else node
    if isinstance(inner, exp.Table) and isinstance(inner.this, exp.Identifier):
        yield inner


def _assigned_columns(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, exp.Update | exp.OnConflict):
            for item in node.expressions:
                yield from _assigned_names(item)


def _listed_columns(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        columns = node.this if isinstance(node, exp.Insert | exp.Copy) else None
        if isinstance(columns, exp.Schema):
            yield from (fold(part) for part in columns.expressions if isinstance(part, exp.Identifier))
        elif isinstance(columns, exp.Tuple):
            yield from (fold(column.this) for column in columns.expressions if isinstance(column, exp.Column))


def _assigned_names(item: Tree) -> Iterator[str]:
    left = item.this if isinstance(item, exp.EQ) else item
    parts = left.expressions if isinstance(left, exp.Tuple) else [left]
    for part in parts:
        column = part if isinstance(part, exp.Column) else part.find(exp.Column)
        if column is not None:
            yield fold(column.args.get("table") or column.this)


def _own_columns(nodes: Nodes, test: Tree | None) -> tuple[str, ...]:
    """Columns in the condition of an UPDATE or DELETE that can only be the target's: no other table, no subquery."""
    root = nodes[0]
    if test is None or root.args.get("from_") or root.args.get("using"):
        return ()
    if any(isinstance(node, exp.Query) for node in nodes):
        return ()
    alias = root.this.alias_or_name
    columns = [c for c in test.find_all(exp.Column) if isinstance(c.this, exp.Identifier)]
    return _unique(fold(c.this) for c in columns if not c.table or c.table == alias)


def _picks_any(query: exp.Select) -> bool:
    return bool(query.args.get("limit") and query.args.get("from_")) and not query.args.get("order")


def _unique(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
