"""Conditions of which the text alone shows the result: always true, or never true because of NULL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from sqlglot import exp

from okto_change.analysis.facts import Tree

_COMPARE: dict[type[Tree], Callable[[Decimal, Decimal], bool]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
}
_REFLEXIVE = (exp.EQ, exp.GTE, exp.LTE, exp.NullSafeEQ)
_NULL_TESTS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_DEEPEST = 200


def always_true(test: Tree) -> str | None:
    """Return the condition as text when it is true for every row (rows with NULL in it aside), else None."""
    return _shown(test) if _holds(test, 0) is True else None


def null_comparisons(nodes: Sequence[Tree]) -> tuple[str, ...]:
    """Return the comparisons with a NULL literal among a statement's nodes, SET items aside."""
    found = [node for node in nodes if isinstance(node, (*_NULL_TESTS, exp.In)) and _with_null(node)]
    return tuple(dict.fromkeys(_shown(node) for node in found if not _assigns(node)))


def _with_null(node: Tree) -> bool:
    if isinstance(node, exp.In):
        return any(isinstance(item, exp.Null) for item in node.expressions)
    return isinstance(_plain(node.this), exp.Null) or isinstance(_plain(node.expression), exp.Null)


def _plain(node: Tree) -> Tree:
    """A value without brackets and casts: ``(NULL::bigint)`` is NULL."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node


def _assigns(node: Tree) -> bool:
    return isinstance(node.parent, exp.Update | exp.OnConflict) and node.arg_key == "expressions"


def _holds(test: Tree, depth: int) -> bool | None:
    """Three-valued: True, False, or None where the rows decide."""
    node = test.unnest()
    if depth > _DEEPEST:
        return None
    match node:
        case exp.Boolean():
            return bool(node.this)
        case exp.Not():
            inner = _holds(node.this, depth + 1)
            return None if inner is None else not inner
        case exp.And() | exp.Or():
            return _joined(node, depth)
        case exp.Like() | exp.ILike():
            return True if _plain(node.expression).name.strip("%") == "" and _plain(node.expression).name else None
        case _:
            return _compared(node)


def _joined(node: Tree, depth: int) -> bool | None:
    """A chain of OR (or AND) of any length: one true (false) side decides, one unknown side leaves it open."""
    sides = [_holds(side, depth + 1) for side in node.flatten()]
    decisive = isinstance(node, exp.Or)
    if decisive in sides:
        return decisive
    return None if None in sides else not decisive


def _compared(node: Tree) -> bool | None:
    left, right = _plain(node.this), _plain(node.args.get("expression"))
    if isinstance(node, _REFLEXIVE) and isinstance(left, exp.Column) and left == right:
        return True
    compare = _COMPARE.get(type(node))
    if compare is None or not (isinstance(left, exp.Literal) and isinstance(right, exp.Literal)):
        return None
    if left.is_string and right.is_string:
        return (left.name == right.name) is isinstance(node, exp.EQ) if isinstance(node, exp.EQ | exp.NEQ) else None
    try:
        return compare(Decimal(left.name), Decimal(right.name))
    except InvalidOperation:
        return None


def _shown(node: Tree) -> str:
    """The parser's spelling, for messages only."""
    text = str(node.sql("postgres"))
    return text if len(text) <= 80 else text[:77] + "..."
