"""The ``parameters`` of a plan: declared types and values, and other values per environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from okto_change.model import Parameter
from okto_change.plan import data, types
from okto_change.plan.literals import literal
from okto_change.plan.names import ENVIRONMENT, PARAMETER, RESERVED
from okto_change.plan.types import SqlType
from okto_change.strictyaml import Node, Reader, suggestion

PER_ENVIRONMENT = "per_environment"
_JSON = frozenset({"json", "jsonb"})
_KEYWORDS = frozenset(
    {
        "and",
        "as",
        "block",
        "call",
        "do",
        "elif",
        "else",
        "endfor",
        "endif",
        "false",
        "for",
        "from",
        "if",
        "import",
        "in",
        "include",
        "is",
        "macro",
        "none",
        "not",
        "or",
        "raw",
        "recursive",
        "set",
        "true",
        "with",
        "without",
    }
)

Overrides = Mapping[str, tuple[Parameter, ...]]


def read(node: Node | None, reader: Reader) -> tuple[tuple[Parameter, ...], Overrides]:
    """Return the parameters with their default values, and the values that environments put in their place."""
    if node is None:
        return (), {}
    if node.kind != "mapping":
        reader.faults.expected(node, "parameters as a mapping")
        return (), {}
    declared: dict[str, Parameter] = {}
    for name, item in node.mapping.items():
        if name != PER_ENVIRONMENT:
            declared[name] = _declared(name, item, node, reader)
    return tuple(declared.values()), _overrides(node.mapping.get(PER_ENVIRONMENT), declared, reader)


def _declared(name: str, item: Node, parent: Node, reader: Reader) -> Parameter:
    place = parent.place(name)
    if not re.fullmatch(PARAMETER, name) or name in RESERVED or name in _KEYWORDS:
        reader.faults.add(place, f"'{name}' cannot name a parameter; use lower case like merchant_id, no reserved word")
    section = reader.section(item, f"parameter '{name}'", required=("type", "value"))
    written = reader.line(section.get("type"), "a type")
    kind = _kind(section.get("type"), written, reader) if written else None
    found = section.get("value")
    value = None if kind is None or found is None else _value(found, kind, reader)
    return Parameter(name=name, type=written, value=value, where=place)


def _kind(node: Node | None, written: str, reader: Reader) -> SqlType | None:
    try:
        return types.parse(written)
    except ValueError as error:
        if node is not None:
            reader.faults.expected(node, str(error))
        return None


def _overrides(node: Node | None, declared: Mapping[str, Parameter], reader: Reader) -> Overrides:
    if node is None:
        return {}
    if node.kind != "mapping":
        reader.faults.expected(node, "values per environment as a mapping")
        return {}
    found = {}
    for environment, values in node.mapping.items():
        if not re.fullmatch(ENVIRONMENT, environment):
            reader.faults.add(node.place(environment), f"'{environment}' is no name of an environment")
        found[environment] = _of_environment(values, declared, reader)
    return found


def _of_environment(node: Node, declared: Mapping[str, Parameter], reader: Reader) -> tuple[Parameter, ...]:
    if node.kind != "mapping":
        reader.faults.expected(node, "parameter values as a mapping")
    found = []
    for name, item in node.mapping.items():
        if name not in declared:
            near = suggestion(name, declared)
            reader.faults.add(node.place(name), f"no parameter '{name}' is declared above{near}")
            continue
        try:
            value = _value(item, types.parse(declared[name].type), reader)
        except ValueError:
            continue  # the declaration's fault is reported already
        found.append(Parameter(name=name, type=declared[name].type, value=value, where=node.place(name)))
    return tuple(found)


def _value(node: Node, kind: SqlType, reader: Reader) -> Any:
    value = _nested(node, kind, reader, top=True)
    known = len(reader.faults)
    try:
        literal(kind, value)
    except ValueError as error:
        if len(reader.faults) == known:
            reader.faults.expected(node, str(error))
    return value


def _nested(node: Node, kind: SqlType, reader: Reader, *, top: bool) -> Any:
    if kind.array and node.kind == "sequence" and (top or kind.family not in _JSON):
        return tuple(_nested(item, kind, reader, top=False) for item in node.sequence)
    if node.kind != "scalar" and kind.family in _JSON and not (top and kind.array):
        return data.text(node, reader.faults)
    if node.kind != "scalar" or (kind.array and top and not node.is_null):
        reader.faults.expected(node, f"a list for {kind.cast}" if kind.array else f"one value for {kind.cast}")
        return None
    if node.is_null and not node.raw:
        reader.faults.add(node.where, "expected a value, found nothing; write null for NULL, '' for empty text")
    return node.value
