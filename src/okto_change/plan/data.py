"""JSON values written as YAML: config values to set, and json parameters. What YAML would guess at is refused."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

from okto_change.strictyaml import Faults, Node

_WORDS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_GUESSED = re.compile(
    r"""(?ix) y | n | yes | no | on | off | true | false | null
    | [-+]?0[0-9_]+ | [-+]?0[xob][0-9a-f_]+
    | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
    | [-+]?[0-9_]*[0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9]+)? | [-+]?\.[0-9][0-9_]*(e[-+]?[0-9]+)?
    | [-+]?\.inf | \.nan
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\ ].*)?
    | = | <<"""
)
MOST_DIGITS = 400


def value(node: Node, faults: Faults) -> Any:
    """Return the JSON value of a node: a quoted scalar is text, a plain one null, true, false, a number, or text."""
    if node.kind == "mapping":
        return {key: value(item, faults) for key, item in node.mapping.items()}
    if node.kind == "sequence":
        return [value(item, faults) for item in node.sequence]
    if node.is_null or not node.plain:
        return node.value
    return _plain(node, faults)


def text(node: Node, faults: Faults) -> str:
    """Return a mapping or sequence as JSON text, for a parameter of type json or jsonb."""
    return json.dumps(value(node, faults), ensure_ascii=False)


def _plain(node: Node, faults: Faults) -> Any:
    raw = node.raw
    if raw in _WORDS:
        return _WORDS[raw]
    if len(raw) <= MOST_DIGITS and _INTEGER.fullmatch(raw):
        return int(raw)
    if len(raw) <= MOST_DIGITS and _NUMBER.fullmatch(raw):
        number = float(raw)
        if math.isfinite(number) and Decimal(repr(number)) == Decimal(raw):
            return number
        faults.expected(node, "a number that a 64-bit float holds exactly, or text in quotes")
        return None
    if _GUESSED.fullmatch(raw):
        faults.add(node.where, f"{node} means different things to different YAML readers; quote it if it is text")
    return raw
