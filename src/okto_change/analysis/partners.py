"""The FROM list of an UPDATE: its sources, what makes their rows unique, what they are joined on."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from sqlglot import exp

from okto_change.analysis.facts import Column, Link, Source, Tree
from okto_change.analysis.naming import fold, is_cte, table_name

_SEVERAL_GROUPINGS = ("rollup", "cube", "grouping_sets")


def sources(root: Tree) -> tuple[Source, ...]:
    """Return the FROM list of an UPDATE, joins included; () for everything else."""
    clause = root.args.get("from_") if isinstance(root, exp.Update) else None
    return tuple(_source(node) for node in _from_items(clause)) if clause else ()


def _from_items(clause: Tree) -> Iterator[Tree]:
    waiting = [clause.this]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(join.this for join in node.args.get("joins") or ())


def _source(node: Tree) -> Source:
    alias = fold(node.args["alias"].this) if node.args.get("alias") and node.args["alias"].this else fold(node.this)
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not is_cte(node):
        return Source(alias=alias, table=table_name(node), unique=())
    return Source(alias=alias, table=None, unique=_unique_of(node))


def _unique_of(node: Tree) -> tuple[tuple[str, ...], ...]:
    """The columns that tell a subquery's or VALUES list's rows apart; an empty tuple inside means: at most one row."""
    if isinstance(node, exp.Values):
        return _unique_of_values(node)
    query = _query_of_cte(node) if isinstance(node, exp.Table) else node.this
    if isinstance(query, exp.Values):
        return _unique_of_values(query, node)
    if not isinstance(query, exp.Select):
        return ()
    if _one_row(query):
        return ((),)
    if query.args.get("distinct") and not query.args["distinct"].args.get("on"):
        return (tuple(_output(e) for e in query.expressions),)
    return _unique_of_group(query)


def _query_of_cte(table: exp.Table) -> Tree | None:
    """The query behind a WITH name of the whole statement; None when the WITH renames its columns."""
    clause = table.root().args.get("with_")
    for cte in clause.expressions if clause else ():
        if fold(cte.args["alias"].this) == fold(table.this):
            return None if cte.args["alias"].args.get("columns") else cte.this
    return None


def _one_row(query: exp.Select) -> bool:
    limit = query.args.get("limit")
    if isinstance(limit, exp.Limit) and limit.expression is not None and limit.expression.name == "1":
        return True
    aggregated = [e.find(exp.AggFunc) is not None and e.find(exp.Window) is None for e in query.expressions]
    return not query.args.get("group") and bool(aggregated) and all(aggregated)


def _unique_of_group(query: exp.Select) -> tuple[tuple[str, ...], ...]:
    group = query.args.get("group")
    if not group or not group.expressions or any(group.args.get(kind) for kind in _SEVERAL_GROUPINGS):
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
    names = [fold(c) for c in alias.args.get("columns") or ()] if alias else []
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    if len(rows) == 1:
        return ((),)
    found: list[tuple[str, ...]] = []
    for index, column in enumerate(names):
        cells = [row[index] for row in rows if index < len(row)]
        literals = [_literal(cell) for cell in cells]
        if None not in literals and len(set(literals)) == len(rows):
            found.append((column,))
    return tuple(found)


def _literal(cell: Tree) -> str | Decimal | None:
    """The value of a literal, so that 1 and 1.0 are equal; None for anything else."""
    sign = -1 if isinstance(cell, exp.Neg) else 1
    while isinstance(cell, exp.Neg | exp.Paren | exp.Cast):
        cell = cell.this
    if not isinstance(cell, exp.Literal):
        return None
    return str(cell.name) if cell.is_string else sign * Decimal(cell.name)


def links(root: Tree, test: Tree | None) -> tuple[Link, ...]:
    """Return the equalities that must hold for a row of an UPDATE ... FROM: in WHERE ``test`` and in ON."""
    if not isinstance(root, exp.Update) or not root.args.get("from_"):
        return ()
    found = [link for part in _conjuncts(test) for link in _link(part)]
    for join in root.args["from_"].find_all(exp.Join):
        found.extend(_join_links(join))
    return tuple(found)


def _join_links(join: exp.Join) -> Iterator[Link]:
    """An outer join keeps rows for which ON fails: LEFT ties its right side only, RIGHT and FULL tie nothing."""
    side = str(join.args.get("side") or "").upper()
    if side not in ("", "LEFT"):
        return
    right = fold(join.this.args["alias"].this) if join.this.args.get("alias") else fold(join.this.this)
    for part in _conjuncts(join.args.get("on")):
        yield from (link for link in _link(part) if not side or link.column.qualifier == right)


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
    return Column(qualifier=fold(qualifier) if qualifier else "", name=fold(column.this))


def _output(expression: Tree) -> str:
    alias = expression.args.get("alias")
    if alias:
        return fold(alias)
    return fold(expression.this) if isinstance(expression, exp.Column) else str(expression.output_name)
