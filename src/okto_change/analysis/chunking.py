"""Does a statement keep to the chunk of its batch? The parser's tree says so; imported with sqlglot, inside functions only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from okto_change.analysis.facts import Tree
from okto_change.analysis.naming import fold

FIRST, LAST = "okto_change.batch_first", "okto_change.batch_last"
"""settings of a chunk's transaction; ``plan.window`` writes the condition, people may write it by hand"""


def ranges(nodes: Sequence[Tree]) -> tuple[str, ...]:
    """Return the columns that a WHERE or ON holds between the two ends of the chunk, whatever else it says."""
    return tuple(dict.fromkeys(_bounded(nodes)))


def _bounded(nodes: Sequence[Tree]) -> Iterator[str]:
    for node in nodes:
        column = node.this if isinstance(node, exp.Between) else None
        if isinstance(column, exp.Column) and _ends(node) == (FIRST, LAST) and _must_hold(node):
            yield fold(column.this)


def _ends(node: Tree) -> tuple[object, object]:
    return _setting(node.args["low"]), _setting(node.args["high"])


def _setting(value: Tree) -> object:
    call = value.this if isinstance(value, exp.Cast) else value
    if not isinstance(call, exp.Anonymous) or str(call.this).lower() != "current_setting":
        return None
    return call.expressions[0].this if len(call.expressions) == 1 else None


def _must_hold(node: Tree) -> bool:
    """Whether nothing but AND and brackets stands between a comparison and its WHERE, or the ON of a MERGE."""
    while isinstance(node.parent, exp.And | exp.Paren):
        node = node.parent
    return isinstance(node.parent, exp.Where) or (isinstance(node.parent, exp.Merge) and node.arg_key == "on")
