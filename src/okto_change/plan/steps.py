"""The ``steps`` of a plan: SQL against a database, or keys set and removed in a config file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from okto_change.model import (
    AutoUndo,
    Batch,
    EditStep,
    Irreversible,
    RowBound,
    ScriptUndo,
    SqlStep,
    Step,
    Timeouts,
    Undo,
    Where,
)
from okto_change.plaintext import visible
from okto_change.plan import data
from okto_change.plan.names import TARGET, column, table, valid_config_path
from okto_change.strictyaml import Node, Reader, suggestion

FORMATS = (".yaml", ".yml", ".json")
INLINE = "plan.yaml"
"""the source of a statement that stands in the plan itself"""

KEY_TYPES = (
    "bigint",
    "integer",
    "smallint",
    "numeric",
    "uuid",
    "text",
    "varchar",
    "date",
    "timestamp",
    "timestamptz",
)
"""types that a batch can go through: in one order on every server, and the same when read back from text"""
MOST_CHUNK = 10_000
"""rows of a chunk: what it images stays in the shared table, and its locks are held for less than a second or so"""

_SQL_KEYS = ("sql", "statement", "rows", "touches", "batch", "timeouts")
_EDIT_KEYS = ("edit", "set", "remove", "validate")
_SEGMENT = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([^."'\s\[\]{}]+))(?:\.(?=.)|$)""")

Path = tuple[str, ...]


class Scripts:
    """The text files of a change folder, for the keys that name one; remembers which were named."""

    def __init__(self, change: str, texts: Mapping[str, str], reader: Reader) -> None:
        self._change = change
        self._texts = texts
        self._reader = reader

    def read(self, node: Node | None, what: str) -> tuple[str, str]:
        """Return path and text of the file that ``node`` names; a file that is not there is a fault."""
        name = self._reader.line(node, f"{what} as the name of a file")
        if node is None or not name:
            return "", ""
        if name not in self._texts or name == INLINE:
            near = suggestion(name, self._texts)
            self._reader.faults.add(node.where, f"no file '{name}' in changes/{self._change}/{near}")
            return name, ""
        if not self._texts[name].strip():
            place = Where(file=f"changes/{self._change}/{name}", line=1)
            self._reader.faults.add(place, "expected SQL, found an empty file")
        return name, self._texts[name]

    def sql_of(self, section: Mapping[str, Node], what: str, where: Where) -> tuple[str, str]:
        """Return source and text of ``sql: file`` or ``statement: text``; exactly one of them is required."""
        if ("sql" in section) == ("statement" in section):
            self._reader.faults.add(where, f"expected one of 'sql' and 'statement' in {what}")
            return "", ""
        if "sql" in section:
            return self.read(section["sql"], "sql")
        return INLINE, self._reader.text(section["statement"], "an SQL statement", most=256 * 1024)


def read(node: Node | None, scripts: Scripts, reader: Reader) -> tuple[Step, ...]:
    """Return the steps in order; names must differ."""
    items = reader.sequence(node, "steps")
    if node is not None and node.kind == "sequence" and not items:
        reader.faults.add(node.where, "expected at least one step, found none")
    steps = [step for item in items if (step := _step(item, scripts, reader)) is not None]
    unique(((step.name, step.where) for step in steps), "step", reader)
    return tuple(steps)


def unique(named: Iterable[tuple[str, Where]], what: str, reader: Reader) -> None:
    """Add a fault for every name that stands a second time, in whatever case."""
    first: dict[str, Where] = {}
    for name, where in named:
        if name and name.casefold() in first:
            reader.faults.add(where, f"a {what} called '{name}' stands in line {first[name.casefold()].line} already")
        first.setdefault(name.casefold(), where)


def target(node: Node | None, reader: Reader) -> str:
    """Return the name of a target of the policy."""
    name = reader.line(node, "the name of a target")
    if node is not None and name and not re.fullmatch(TARGET, name):
        reader.faults.expected(node, "the name of a target, like ledger")
    return name


def _step(node: Node, scripts: Scripts, reader: Reader) -> Step | None:
    if node.kind != "mapping":
        reader.faults.expected(node, "a step as a mapping")
        return None
    name = reader.line(node.mapping.get("name"), "a step's name", most=80)
    what = f"step '{name}'" if name else "a step"
    if not node.mapping.keys() & {"sql", "statement", "edit"}:
        reader.faults.add(node.where, f"expected 'sql', 'statement' or 'edit' in {what}, found none{_near(node)}")
        return None
    return _edit(node, name, what, reader) if "edit" in node.mapping else _sql(node, name, what, scripts, reader)


def _near(node: Node) -> str:
    return next((near for key in node.mapping if (near := suggestion(key, ("sql", "statement", "edit")))), "")


def _sql(node: Node, name: str, what: str, scripts: Scripts, reader: Reader) -> SqlStep:
    _foreign(node, _EDIT_KEYS, f"{what} is SQL", reader)
    section = reader.section(node, what, required=("name", "target"), optional=("undo", *_SQL_KEYS, *_EDIT_KEYS))
    source, sql = scripts.sql_of(section, what, node.where)
    return SqlStep(
        name=name,
        target=target(section.get("target"), reader),
        source=source,
        sql=sql,
        rows=_rows(section.get("rows"), reader),
        touches=_touches(section.get("touches"), reader),
        undo=_undo(section.get("undo"), scripts, reader),
        batch=_batch(section.get("batch"), reader),
        timeouts=_timeouts(section.get("timeouts"), reader),
        where=node.where,
    )


def _edit(node: Node, name: str, what: str, reader: Reader) -> EditStep:
    _foreign(node, _SQL_KEYS, f"{what} is an edit", reader)
    optional = ("undo", *_EDIT_KEYS, *_SQL_KEYS)
    section = reader.section(node, what, required=("name", "target", "edit"), optional=optional)
    if not section.keys() & {"set", "remove"}:
        reader.faults.add(node.where, f"expected 'set' or 'remove' in {what}, found none")
    assigned, removed = _set(section.get("set"), reader), _remove(section.get("remove"), reader)
    _apart([*(path for path, _ in assigned), *removed], node.where, reader)
    return EditStep(
        name=name,
        target=target(section.get("target"), reader),
        file=_config_file(section.get("edit"), reader),
        set=assigned,
        remove=removed,
        validate=_validate(section.get("validate"), reader),
        undo=_undo(section.get("undo"), None, reader),
        where=node.where,
    )


def _foreign(node: Node, keys: Iterable[str], reason: str, reader: Reader) -> None:
    for key in keys:
        if key in node.mapping:
            reader.faults.add(node.place(key), f"the key '{key}' does not belong here: {reason}")


def _rows(node: Node | None, reader: Reader) -> tuple[RowBound, ...] | None:
    if node is None:
        return None
    items = node.sequence if node.kind == "sequence" else [node]
    if not items:
        reader.faults.expected(node, "a number of rows for each statement")
    return tuple(_bound(item, reader) for item in items)


def _bound(node: Node, reader: Reader) -> RowBound:
    if node.kind == "scalar":
        rows = reader.integer(node, "a number of rows, or {min, max}")
        return RowBound(minimum=rows, maximum=rows)
    section = reader.section(node, "rows", optional=("min", "max"))
    if not section:
        reader.faults.expected(node, "a number of rows, or {min, max}")
    minimum = reader.integer(section.get("min"), "the least number of rows")
    maximum = reader.integer(section["max"], "the largest number of rows") if "max" in section else None
    if maximum is not None and maximum < minimum:
        reader.faults.add(node.where, f"expected min to be at most max, found {minimum} and {maximum}")
    return RowBound(minimum=minimum, maximum=maximum)


def _touches(node: Node | None, reader: Reader) -> tuple[str, ...] | None:
    if node is None:
        return None
    names = []
    for item in reader.sequence(node, "touches"):
        name = table(item.text or "")
        if name is None:
            reader.faults.expected(item, "the name of a table, like settlements or ledger.entries")
        else:
            names.append(name)
    return tuple(dict.fromkeys(names))


def _undo(node: Node | None, scripts: Scripts | None, reader: Reader) -> Undo:
    if node is None or (node.kind == "scalar" and node.raw == "auto"):
        return AutoUndo()
    if node.kind == "mapping":
        section = reader.section(node, "undo", required=("irreversible",))
        reason = reader.line(section.get("irreversible"), "a reason why it cannot be undone", most=1000)
        return Irreversible(reason=reason)
    if scripts is None:
        reader.faults.expected(node, "auto or {irreversible: reason} for the undo of an edit")
        return AutoUndo()
    source, sql = scripts.read(node, "undo: auto, {irreversible: reason}, or a script")
    return ScriptUndo(source=source, sql=sql)


def _batch(node: Node | None, reader: Reader) -> Batch | None:
    if node is None:
        return None
    section = reader.section(node, "batch", required=("table", "key", "size"), optional=("type", "max_lag", "pause"))
    name = table(reader.line(section.get("table"), "the table to go through")) or ""
    if "table" in section and not name:
        reader.faults.expected(section["table"], "the name of a table, like settlements")
    return Batch(
        table=name,
        key=_key(section.get("key"), reader),
        type=reader.choice(section.get("type"), KEY_TYPES, "the type of the key") or "bigint",
        size=reader.integer(section.get("size"), "rows of a chunk", least=1, most=MOST_CHUNK, default=1),
        max_lag=reader.duration(section["max_lag"], "the replica lag to wait for") if "max_lag" in section else None,
        pause=reader.duration(section.get("pause"), "the pause between chunks"),
    )


def _key(node: Node | None, reader: Reader) -> str:
    text = reader.line(node, "the column to go through by", most=80)
    name = column(text)
    if node is not None and text and name is None:
        reader.faults.expected(node, "the name of a column, like id")
    return name or ""


def _timeouts(node: Node | None, reader: Reader) -> Timeouts:
    section = reader.section(node, "timeouts", optional=("lock", "statement"))
    usual = Timeouts()
    return Timeouts(
        lock=reader.duration(section.get("lock"), "a lock timeout", least=1, default=usual.lock),
        statement=reader.duration(section.get("statement"), "a statement timeout", least=1, default=usual.statement),
    )


def _config_file(node: Node | None, reader: Reader) -> str:
    file = reader.line(node, "a config file under the target's root")
    if node is not None and file:
        if not valid_config_path(file):
            reader.faults.expected(node, "a path under the target's root, without '..' and without a leading '/'")
        elif not file.endswith(FORMATS):
            known = ", ".join(FORMATS)
            reader.faults.add(node.where, f"editing {node} is not available in this version; it edits {known}")
    return file


def _set(node: Node | None, reader: Reader) -> tuple[tuple[Path, Any], ...]:
    if node is not None and (node.kind != "mapping" or not node.mapping):
        reader.faults.expected(node, "set as a mapping of paths to values")
    items = {} if node is None else node.mapping
    return tuple(
        (_path(key, node.place(key), reader), data.value(item, reader.faults)) for key, item in items.items() if node
    )


def _remove(node: Node | None, reader: Reader) -> tuple[Path, ...]:
    return tuple(_path(item.text or "", item.where, reader) for item in reader.sequence(node, "remove"))


def _path(text: str, where: Where, reader: Reader) -> Path:
    parts, at = [], 0
    while at < len(text) and (match := _SEGMENT.match(text, at)):
        parts.append(match[1] or match[2] or match[3])
        at = match.end()
    if not parts or at != len(text) or not all(map(visible, text)):
        form = "a path like acquirers.north.timeout_ms (quote a key with dots)"
        reader.faults.add(where, f"expected {form}, found {text!a}")
    return tuple(parts)


def _apart(paths: list[Path], where: Where, reader: Reader) -> None:
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path[: len(other)] == other or other[: len(path)] == path:
                reader.faults.add(where, f"the paths {'.'.join(other)} and {'.'.join(path)} are inside one another")


def _validate(node: Node | None, reader: Reader) -> str | None:
    if node is None:
        return None
    command = reader.line(node, "a command to validate the file with", most=1000)
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if command and not any("{file}" in word for word in words):
        reader.faults.expected(node, "a command with {file} where the file's path belongs")
    return command
