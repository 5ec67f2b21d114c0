"""The ``checks`` of a plan: queries with an expected result, before, inside and after the transaction."""

from __future__ import annotations

import re

from okto_change.model import Check, Expectation, ExpectCompare, ExpectEmpty, ExpectRows, Phase
from okto_change.plan.steps import Scripts, target, unique
from okto_change.strictyaml import Node, Reader

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_TEST = re.compile(rf"(<=|>=|!=|<|>|=)\s*({_NUMBER})")
_LATER = ("http", "prometheus")
_FORMS = "a value, rows like [[PENDING, 3]], empty, {min, max} or a comparison like '< 0.01'"


def read(node: Node | None, scripts: Scripts, reader: Reader) -> tuple[Check, ...]:
    """Return the checks in the order of their phases; names must differ."""
    section = reader.section(node, "checks", optional=tuple(phase.value for phase in Phase))
    checks: list[Check] = []
    for phase in Phase:
        for item in reader.sequence(section.get(phase.value), f"checks '{phase.value}'"):
            check = _check(item, phase, scripts, reader)
            checks += [] if check is None else [check]
    unique(((check.name, check.where) for check in checks), "check", reader)
    return tuple(checks)


def _check(node: Node, phase: Phase, scripts: Scripts, reader: Reader) -> Check | None:
    later = [key for key in _LATER if key in node.mapping]
    for key in later:
        reader.faults.add(node.place(key), f"a check by {key} is not available in this version; use sql or statement")
    if later:
        return None
    name = reader.line(node.mapping.get("name"), "a check's name", most=120)
    what = f"check '{name}'" if name else "a check"
    optional = ("sql", "statement", "expect", "each")
    section = reader.section(node, what, required=("name", "target"), optional=optional)
    if node.kind != "mapping":
        return None
    source, sql = scripts.sql_of(section, what, node.where)
    return Check(
        name=name,
        phase=phase,
        target=target(section.get("target"), reader),
        source=source,
        sql=sql,
        expect=_expected(section, node, phase, what, reader),
        where=node.where,
        each_chunk=_each(section, node, phase, reader),
    )


def _each(section: dict[str, Node], node: Node, phase: Phase, reader: Reader) -> bool:
    if "each" in section and phase is not Phase.INVARIANT:
        reason = "only an invariant can be compared around each chunk"
        reader.faults.add(node.place("each"), f"the key 'each' does not belong here: {reason}")
    return reader.choice(section.get("each"), ("chunk",), "what to compare it around") == "chunk"


def _expected(section: dict[str, Node], node: Node, phase: Phase, what: str, reader: Reader) -> Expectation | None:
    given = section.get("expect")
    if phase is Phase.INVARIANT:
        if given is not None:
            reason = "an invariant must give the same before and after"
            reader.faults.add(node.place("expect"), f"the key 'expect' does not belong here: {reason}")
        return None
    if given is None:
        reader.faults.add(node.where, f"expected the key 'expect' in {what}, found none")
        return None
    return expectation(given, reader)


def expectation(node: Node, reader: Reader) -> Expectation | None:
    """Return what ``expect`` means; None, and a fault, if it is none of the known forms."""
    if node.kind == "mapping":
        return _between(node, reader)
    if node.kind == "sequence":
        rows = tuple(_row(item, reader) for item in node.sequence)
        if len({len(row) for row in rows}) > 1:
            reader.faults.add(node.where, "expected rows of one width, found different ones")
        return ExpectRows(rows=rows) if rows else ExpectEmpty()
    if node.plain and node.raw == "empty":
        return ExpectEmpty()
    if re.match(r"\s*[<>=!]", node.raw):
        return _comparison(node, reader)
    return ExpectRows(rows=((_cell(node, reader),),))


def _comparison(node: Node, reader: Reader) -> Expectation | None:
    tests = [_TEST.fullmatch(part.strip()) for part in node.raw.split(",")]
    if None in tests:
        reader.faults.expected(node, "a comparison like '< 0.01' or '>= 1, < 5'; other text goes into a row: [[...]]")
        return None
    return ExpectCompare(tests=tuple((test[1], test[2]) for test in tests if test))


def _between(node: Node, reader: Reader) -> Expectation | None:
    section = reader.section(node, "expect", optional=("min", "max"))
    if not section:
        reader.faults.expected(node, _FORMS)
        return None
    operators = {"min": ">=", "max": "<="}
    tests = []
    for key, operator in operators.items():
        if key in section:
            tests.append((operator, reader.text(section[key], "a number", pattern=_NUMBER, default="0")))
    return ExpectCompare(tests=tuple(tests))


def _row(node: Node, reader: Reader) -> tuple[str | None, ...]:
    if node.kind == "sequence":
        return tuple(_cell(item, reader) for item in node.sequence)
    return (_cell(node, reader),)


def _cell(node: Node, reader: Reader) -> str | None:
    if node.kind != "scalar":
        reader.faults.expected(node, "a value")
        return None
    if node.is_null and not node.raw:
        reader.faults.expected(node, f"{_FORMS}; null for NULL")
    if node.plain and node.raw in {"true", "false"}:
        return node.raw[0]  # as PostgreSQL prints booleans
    return node.text
