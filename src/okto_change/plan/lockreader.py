"""The document of a lock, back to a Lock: every type is checked, what is missing or of another kind is refused."""

from __future__ import annotations

from typing import Any

from okto_change.model import (
    AutoUndo,
    Batch,
    Check,
    EditStep,
    Expectation,
    ExpectCompare,
    ExpectEmpty,
    ExpectRows,
    Irreversible,
    Lock,
    Phase,
    Risk,
    RowBound,
    ScriptUndo,
    SqlStep,
    Statement,
    StatementKind,
    Step,
    Timeouts,
    Undo,
    Where,
)
from okto_change.plan.lockfile import NUMBER


class Fields:
    """An object of the document; each method returns one field and raises ValueError when it is not of its kind."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{what} is no object")
        self._value: dict[str, Any] = value
        self._what = what

    def any(self, key: str) -> Any:
        """Return the field as it is."""
        if key not in self._value:
            raise ValueError(f"{self._what} has no '{key}'")
        return self._value[key]

    def text(self, key: str) -> str:
        """Return a string."""
        return _text(self.any(key), f"'{key}' of {self._what}")

    def maybe_text(self, key: str) -> str | None:
        """Return a string or null."""
        return None if self.any(key) is None else self.text(key)

    def integer(self, key: str) -> int:
        """Return an integer that is not negative."""
        value = self.any(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"'{key}' of {self._what} is no count")
        return value

    def maybe_integer(self, key: str) -> int | None:
        """Return an integer or null."""
        return None if self.any(key) is None else self.integer(key)

    def items(self, key: str) -> list[Any]:
        """Return an array."""
        value = self.any(key)
        if not isinstance(value, list):
            raise ValueError(f"'{key}' of {self._what} is no array")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of strings."""
        return tuple(_text(item, f"'{key}' of {self._what}") for item in self.items(key))

    def lines(self, key: str) -> str:
        """Return the text that stands as an array of lines."""
        return "\n".join(self.texts(key))

    def objects(self, key: str) -> list[Fields]:
        """Return an array of objects."""
        return [Fields(item, f"an item of '{key}' in {self._what}") for item in self.items(key)]

    def inner(self, key: str) -> Fields:
        """Return an object."""
        return Fields(self.any(key), f"'{key}' of {self._what}")

    def all(self) -> dict[str, Any]:
        """Return the whole object."""
        return dict(self._value)

    def names(self) -> list[str]:
        """Return the keys."""
        return list(self._value)

    def where(self) -> Where:
        """Return the place in the field ``where``."""
        file, colon, line = self.text("where").rpartition(":")
        return Where(file=file, line=int(line)) if colon else Where(file=line)


def decode(document: Any, content: bytes, digest: str) -> Lock:
    """Return the lock of ``document``. Raises ValueError saying what is wrong with it."""
    lock = Fields(document, "the lock")
    steps = [_step(item) for item in lock.objects("steps")]
    parameters, targets = lock.inner("parameters"), lock.inner("targets")
    sources = lock.objects("sources")
    return Lock(
        content=content,
        digest=digest,
        repo=lock.text("repo"),
        change=lock.text("change"),
        environment=lock.text("environment"),
        title=lock.text("title"),
        author=lock.text("author"),
        steps=tuple(step for step, _ in steps),
        statements=tuple(statement for _, statements in steps for statement in statements),
        checks=tuple(_check(item) for item in lock.objects("checks")),
        risk=Risk(lock.text("risk")),
        risk_reasons=lock.texts("risk_reasons"),
        objects=lock.texts("objects"),
        reason=lock.lines("reason"),
        incident=lock.maybe_text("incident"),
        targets={name: targets.inner(name).all() for name in targets.names()},
        parameters={name: parameters.text(name) for name in parameters.names()},
        sources=tuple((item.text("path"), item.text("sha256"), item.integer("size")) for item in sources),
    )


def _step(fields: Fields) -> tuple[Step, tuple[Statement, ...]]:
    if fields.text("kind") == "edit":
        return _edit(fields), ()
    if fields.text("kind") != "sql":
        raise ValueError(f"a step is of the unknown kind '{fields.text('kind')}'")
    step = _sql(fields)
    text = step.sql.encode("utf-8")
    items = enumerate(fields.objects("statements"))
    return step, tuple(_statement(item, index, step.name, text) for index, item in items)


def _sql(fields: Fields) -> SqlStep:
    timeouts = fields.inner("timeouts")
    return SqlStep(
        name=fields.text("name"),
        target=fields.text("target"),
        source=fields.text("source"),
        sql=fields.lines("rendered"),
        rows=None if fields.any("rows") is None else tuple(_bound(item) for item in fields.objects("rows")),
        touches=None if fields.any("touches") is None else fields.texts("touches"),
        undo=_undo(fields.inner("undo")),
        batch=None if fields.any("batch") is None else _batch(fields.inner("batch")),
        timeouts=Timeouts(lock=timeouts.integer("lock_ms"), statement=timeouts.integer("statement_ms")),
        where=fields.where(),
    )


def _edit(fields: Fields) -> EditStep:
    return EditStep(
        name=fields.text("name"),
        target=fields.text("target"),
        file=fields.text("file"),
        set=tuple((item.texts("path"), number(item.any("value"))) for item in fields.objects("set")),
        remove=tuple(tuple(_text(part, "a path to remove") for part in path) for path in fields.items("remove")),
        validate=fields.maybe_text("validate"),
        undo=_undo(fields.inner("undo")),
        where=fields.where(),
    )


def _statement(fields: Fields, index: int, step: str, text: bytes) -> Statement:
    start, end, data = fields.integer("start"), fields.integer("end"), fields.any("data")
    if not start <= end <= len(text):
        raise ValueError(f"statement {index + 1} of step '{step}' lies outside its text")
    span = None if data is None else [int(part) for part in fields.items("data")]
    return Statement(
        step=step,
        index=index,
        start=start,
        end=end,
        text=text[start:end].decode("utf-8"),
        where=fields.where(),
        kind=StatementKind(fields.text("kind")),
        reads=fields.texts("reads"),
        writes=fields.texts("writes"),
        columns=fields.texts("columns"),
        data=None if span is None else text[span[0] : span[1]].decode("utf-8"),
        instead=fields.text("instead") if "instead" in fields.names() else None,
    )


def _check(fields: Fields) -> Check:
    return Check(
        name=fields.text("name"),
        phase=Phase(fields.text("phase")),
        target=fields.text("target"),
        source=fields.text("source"),
        sql=fields.lines("rendered"),
        expect=None if fields.any("expect") is None else _expect(fields.inner("expect")),
        where=fields.where(),
        each_chunk=fields.any("each_chunk") is True,
    )


def _expect(fields: Fields) -> Expectation:
    if "compare" in fields.names():
        tests = [tuple(_text(part, "a comparison") for part in test) for test in fields.items("compare")]
        return ExpectCompare(tests=tuple((operator, limit) for operator, limit in tests))
    rows = tuple(tuple(_cell(cell) for cell in row) for row in fields.items("rows"))
    return ExpectRows(rows=rows) if rows else ExpectEmpty()


def _cell(value: Any) -> str | None:
    return None if value is None else _text(value, "an expected value")


def _undo(fields: Fields) -> Undo:
    match fields.text("kind"):
        case "auto":
            return AutoUndo()
        case "script":
            return ScriptUndo(source=fields.text("source"), sql=fields.lines("rendered"))
        case "irreversible":
            return Irreversible(reason=fields.text("reason"))
        case kind:
            raise ValueError(f"an undo is of the unknown kind '{kind}'")


def _bound(fields: Fields) -> RowBound:
    return RowBound(minimum=fields.integer("min"), maximum=fields.maybe_integer("max"))


def _batch(fields: Fields) -> Batch:
    return Batch(
        table=fields.text("table"),
        key=fields.text("key"),
        type=fields.text("type"),
        size=fields.integer("size"),
        max_lag=fields.maybe_integer("max_lag_ms"),
        pause=fields.integer("pause_ms"),
    )


def number(value: Any) -> Any:
    """Return a JSON value with the numbers that stand as text put back."""
    if isinstance(value, list):
        return [number(item) for item in value]
    if isinstance(value, dict):
        if NUMBER in value:
            text = _text(value[NUMBER], "a number")
            return int(text) if text.lstrip("-").isdigit() else float(text)
        return {key: number(item) for key, item in value.items()}
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is no text")
    return value
