"""sqlglot's tree of one statement -> plain facts. The only module that knows sqlglot; import it inside functions only.

The tree answers questions (which tables, which columns, what does the condition compare); it never produces SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain

import sqlglot
from sqlglot import exp

from okto_change.analysis.facts import Column, Facts, Link, Source, Tree
from okto_change.analysis.truth import always_true, null_comparisons

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_ROOTS = (
    exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Alter, exp.Drop, exp.TruncateTable,
    exp.Comment, exp.Grant, exp.Revoke, exp.Copy, exp.Set,
)  # fmt: skip
_TABLE_KINDS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE")
_WRITERS = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


def read(text: str) -> Facts | None:
    """Return what the tree of ``text`` says; None when sqlglot cannot parse it, or into no root on the allow-list.

    sqlglot raises ParseError, TokenError, TypeError, RecursionError and more on valid PostgreSQL; each means: not understood.
    """
    try:
        roots = sqlglot.parse(text, read="postgres")
        if len(roots) != 1 or not isinstance(roots[0], _ROOTS) or roots[0].find(exp.Command):
            return None
        return _facts(roots[0])
    except Exception:
        logging.getLogger(__name__).debug("not understood", exc_info=True)
        return None


def _facts(root: Tree) -> Facts:
    condition = root.args.get("where") if isinstance(root, exp.Update | exp.Delete) else None
    test = condition.this if condition else None
    return Facts(
        root=type(root).__name__.lower(),
        reads=_unique(name(table) for table in _read_tables(root)),
        writes=_unique(name(table) for table in _written_tables(root)),
        altered=_unique(name(table) for table in _altered_tables(root)),
        created=_unique(name(table) for table in _created_tables(root)),
        columns=_unique(chain(_assigned_columns(root), _listed_columns(root))),
        assigned=_unique(_assigned_columns(root)),
        read_columns=_unique(_dotted(column) for column in root.find_all(exp.Column) if _is_read(column)),
        own_columns=_own_columns(root, test),
        always_true=always_true(test) if test is not None else None,
        null_comparisons=null_comparisons(root),
        sources=_sources(root),
        links=_links(root, test),
        unordered_limits=sum(1 for query in root.find_all(exp.Select) if _picks_any(query)),
    )


def name(table: exp.Table) -> str:
    """Return a table's name as written, folded unless quoted."""
    return ".".join(_fold(part) for part in table.parts if isinstance(part, exp.Identifier))


def _read_tables(root: Tree) -> Iterator[exp.Table]:
    others = {id(table) for table in (*_written_tables(root), *_created_tables(root), *_altered_tables(root))}
    if isinstance(root, exp.Drop | exp.Comment | exp.Grant | exp.Revoke):
        return
    for table in root.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and id(table) not in others and not _is_cte(table):
            yield table


def _written_tables(root: Tree) -> Iterator[exp.Table]:
    if isinstance(root, exp.TruncateTable):
        yield from (table for table in root.expressions if isinstance(table, exp.Table))
    if isinstance(root, exp.Copy) and root.args.get("kind"):
        yield from _as_table(root.this)
    for node in root.find_all(*_WRITERS):
        if not isinstance(node.parent, exp.When):
            yield from _as_table(node.this)


def _created_tables(root: Tree) -> Iterator[exp.Table]:
    if isinstance(root, exp.Create) and root.kind in ("TABLE", "VIEW"):
        yield from _as_table(root.this)
    for into in root.find_all(exp.Into):
        yield from _as_table(into.this)


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


def _is_cte(table: exp.Table) -> bool:
    """Tell whether an unqualified name means a WITH query that is visible here; a query does not see itself unless RECURSIVE."""
    if table.args.get("db"):
        return False
    wanted = _fold(table.this)
    node: Tree | None = table
    below: list[Tree] = []
    while node is not None:
        clause = node.args.get("with_")
        if isinstance(clause, exp.With) and wanted in _visible(clause, below):
            return True
        below.append(node)
        node = node.parent
    return False


def _visible(clause: exp.With, below: list[Tree]) -> set[str]:
    inside = next((cte for cte in clause.expressions if any(cte is node for node in below)), None)
    seen: set[str] = set()
    for cte in clause.expressions:
        if cte is inside and not clause.args.get("recursive"):
            break
        seen.add(_alias(cte))
    return seen


def _assigned_columns(root: Tree) -> Iterator[str]:
    for node in root.find_all(exp.Update, exp.OnConflict):
        for item in node.expressions:
            yield from _assigned_names(item)


def _listed_columns(root: Tree) -> Iterator[str]:
    for insert in root.find_all(exp.Insert):
        yield from (_fold(part) for part in insert.this.expressions if isinstance(part, exp.Identifier))
        if isinstance(insert.this, exp.Tuple):
            yield from (column.name for column in insert.this.find_all(exp.Column))
    if isinstance(root, exp.Copy) and root.args.get("kind") and isinstance(root.this, exp.Schema):
        yield from (_fold(part) for part in root.this.expressions if isinstance(part, exp.Identifier))


def _assigned_names(item: Tree) -> Iterator[str]:
    left = item.this if isinstance(item, exp.EQ) else item
    parts = left.expressions if isinstance(left, exp.Tuple) else [left]
    for part in parts:
        column = part if isinstance(part, exp.Column) else part.find(exp.Column)
        if column is not None:
            yield _fold(column.args.get("table") or column.this)


def _is_read(column: exp.Column) -> bool:
    """Whether a column is a value: neither ``t.*`` nor the left side of an assignment or a column list."""
    if isinstance(column.this, exp.Star):
        return False
    node: Tree = column.parent if isinstance(column.parent, exp.Tuple) else column
    parent = node.parent
    if isinstance(parent, exp.Insert) and node.arg_key == "this":
        return False
    if not isinstance(parent, exp.EQ) or parent.this is not node:
        return True
    return not (isinstance(parent.parent, exp.Update | exp.OnConflict) and parent.arg_key == "expressions")


def _own_columns(root: Tree, test: Tree | None) -> tuple[str, ...]:
    """Columns of the condition of an UPDATE or DELETE that can only be the target's own: no other table, no subquery."""
    if test is None or root.find(exp.Subquery, exp.Exists, exp.Query) or root.args.get("from_") or root.args.get("using"):
        return ()
    alias = root.this.alias_or_name
    columns = [c for c in test.find_all(exp.Column) if isinstance(c.this, exp.Identifier)]
    return _unique(_fold(c.this) for c in columns if not c.table or c.table == alias)


def _sources(root: Tree) -> tuple[Source, ...]:
    """The FROM list of an UPDATE, joins included; () for everything else."""
    clause = root.args.get("from_") if isinstance(root, exp.Update) else None
    return tuple(_source(node) for node in _from_items(clause)) if clause else ()


def _from_items(clause: Tree) -> Iterator[Tree]:
    node = clause.this
    yield node
    for join in node.args.get("joins") or ():
        yield join.this
        for inner in join.this.args.get("joins") or ():
            yield inner.this


def _source(node: Tree) -> Source:
    alias = _fold(node.args["alias"].this) if node.args.get("alias") and node.args["alias"].this else _fold(node.this)
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not _is_cte(node):
        return Source(alias=alias, table=name(node), unique=())
    return Source(alias=alias, table=None, unique=_unique_of(node))


def _unique_of(node: Tree) -> tuple[tuple[str, ...], ...]:
    """The columns that tell a subquery's or VALUES list's rows apart; an empty tuple inside means: at most one row."""
    if isinstance(node, exp.Values):
        return _unique_of_values(node)
    query = node.this if isinstance(node, exp.Subquery) else None
    if isinstance(query, exp.Values):
        return _unique_of_values(query, node)
    if not isinstance(query, exp.Select):
        return ()
    if _one_row(query):
        return ((),)
    if query.args.get("distinct") and not query.args["distinct"].args.get("on"):
        return (tuple(_output(e) for e in query.expressions),)
    return _unique_of_group(query)


def _one_row(query: exp.Select) -> bool:
    limit = query.args.get("limit")
    if isinstance(limit, exp.Limit) and limit.expression is not None and limit.expression.name == "1":
        return True
    return not query.args.get("group") and bool(query.expressions) and all(e.find(exp.AggFunc) for e in query.expressions)


def _unique_of_group(query: exp.Select) -> tuple[tuple[str, ...], ...]:
    group = query.args.get("group")
    if not group or not group.expressions:
        return ()
    named = {e.unalias().sql(): _output(e) for e in query.expressions}
    keys = [named.get(key.sql()) or _positional(key, query) for key in group.expressions]
    return (tuple(key for key in keys if key),) if all(keys) else ()


def _positional(key: Tree, query: exp.Select) -> str:
    if isinstance(key, exp.Literal) and key.name.isdigit() and 0 < int(key.name) <= len(query.expressions):
        return _output(query.expressions[int(key.name) - 1])
    return ""


def _unique_of_values(values: exp.Values, holder: Tree | None = None) -> tuple[tuple[str, ...], ...]:
    """Columns of a VALUES list whose literals are all different."""
    alias = (holder or values).args.get("alias")
    names = [_fold(c) for c in alias.args.get("columns") or ()] if alias else []
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    if len(rows) == 1:
        return ((),)
    found: list[tuple[str, ...]] = []
    for index, column in enumerate(names):
        cells = [row[index] for row in rows if index < len(row)]
        literal = all(isinstance(cell, exp.Literal | exp.Neg | exp.Cast) for cell in cells)
        if literal and len({cell.sql() for cell in cells}) == len(rows):
            found.append((column,))
    return tuple(found)


def _links(root: Tree, test: Tree | None) -> tuple[Link, ...]:
    if not isinstance(root, exp.Update) or not root.args.get("from_"):
        return ()
    tests = [test, *(join.args.get("on") for join in root.args["from_"].find_all(exp.Join))]
    links: list[Link] = []
    for condition in tests:
        for part in _conjuncts(condition):
            links.extend(_link(part))
    return tuple(links)


def _conjuncts(condition: Tree | None) -> Iterator[Tree]:
    waiting = [condition] if condition is not None else []
    while waiting:
        node = waiting.pop().unnest()
        if isinstance(node, exp.And):
            waiting.extend((node.this, node.expression))
        else:
            yield node


def _link(part: Tree) -> Iterator[Link]:
    if not isinstance(part, exp.EQ):
        return
    for one, other in ((part.this, part.expression), (part.expression, part.this)):
        if isinstance(one, exp.Column):
            yield Link(column=_column(one), needs=tuple(_column(c) for c in other.find_all(exp.Column)))


def _column(column: exp.Column) -> Column:
    qualifier = column.args.get("table")
    return Column(qualifier=_fold(qualifier) if qualifier else "", name=_fold(column.this))


def _dotted(column: exp.Column) -> str:
    return ".".join(_fold(part) for part in column.parts if isinstance(part, exp.Identifier)) or "*"


def _picks_any(query: exp.Select) -> bool:
    return bool(query.args.get("limit")) and not query.args.get("order") and not _one_row_by_kind(query)


def _one_row_by_kind(query: exp.Select) -> bool:
    return not query.args.get("from_")


def _output(expression: Tree) -> str:
    alias = expression.args.get("alias")
    return _fold(alias) if alias else (_fold(expression.this) if isinstance(expression, exp.Column) else expression.output_name)


def _alias(cte: Tree) -> str:
    return _fold(cte.args["alias"].this)


def _fold(node: object) -> str:
    if isinstance(node, exp.Identifier):
        return str(node.this) if node.args.get("quoted") else str(node.this).lower()
    return node.name.lower() if isinstance(node, exp.Expression) else ""


def _unique(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
