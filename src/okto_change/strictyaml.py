"""YAML read strictly and with places: every scalar is text, and all faults of a file are found at once.

Refused: duplicate keys, anchors, aliases, tags, several documents, tabs, keys that are no text, deep nesting, invisible
characters. Nothing is guessed: ``010``, ``12:30`` and ``yes`` stay text until a schema says what they are. Schemas read
nodes with a ``Reader``, whose ``Faults`` collects ``file:line: expected ..., found ...`` and raises them together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

import yaml

from okto_change import plaintext
from okto_change.errors import PlanError
from okto_change.model import Where
from okto_change.model.base import record

MOST_BYTES = 256 * 1024
MOST_DEPTH = 32
NULLS = frozenset({"", "~", "null"})

_LIBYAML = yaml.CBaseLoader if yaml.__with_libyaml__ and yaml._yaml.get_version() == (0, 2, 5) else None
_ODD = re.compile(r"\?|[|>][-+0-9]*#|^(---|\.\.\.|%)", re.MULTILINE)
"""What libyaml 0.2.5 reads otherwise than PyYAML's own parser does; tests/limits/test_any_yaml.py looks for more."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Kind = Literal["mapping", "sequence", "scalar"]
Value = str | None | dict[str, "Node"] | list["Node"]


@record
class Node:
    """A located value: ``dict`` of nodes, ``list`` of nodes, text, or None for a plain ``null``, ``~`` or nothing.

    ``plain`` says that a scalar stood without quotes and not as a block; ``raw`` is a scalar's text even where the
    value is None. ``keys`` maps a mapping's keys to their places.
    """

    where: Where
    kind: Kind
    value: Value
    plain: bool = False
    raw: str = ""
    keys: dict[str, Where] | None = None

    @property
    def mapping(self) -> dict[str, Node]:
        """The nodes of a mapping; empty for any other kind."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def sequence(self) -> list[Node]:
        """The nodes of a sequence; empty for any other kind."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str | None:
        """The text of a scalar; None for null and for any other kind."""
        return self.value if isinstance(self.value, str) else None

    @property
    def is_null(self) -> bool:
        """Whether this is a plain ``null``, ``~`` or nothing at all."""
        return self.kind == "scalar" and self.value is None

    def place(self, key: str) -> Where:
        """Where ``key`` of this mapping stands; the mapping's own place if it has no such key."""
        return (self.keys or {}).get(key, self.where)

    def __str__(self) -> str:
        """Describe the value for 'found ...' in a message."""
        if self.kind != "scalar":
            return f"a {self.kind}"
        if self.value is None:
            return "null" if self.raw else "nothing"
        shown = self.raw if len(self.raw) <= 60 else self.raw[:57] + "..."
        return ascii(shown) if not shown.isprintable() else f"'{shown}'"


class Faults:
    """The faults of one reading, as ``file:line: message``; ``stop`` raises them all together."""

    def __init__(self) -> None:
        self._found: dict[str, Where] = {}

    def add(self, where: Where, message: str) -> None:
        """Remember one fault; the same fault at the same place counts once."""
        self._found.setdefault(f"{where}: {message}", where)

    def expected(self, node: Node, what: str) -> None:
        """Remember that ``what`` was expected where ``node`` stands."""
        self.add(node.where, f"expected {what}, found {node}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._ordered())

    def __len__(self) -> int:
        return len(self._found)

    def stop(self, what: str, hint: str | None = None) -> None:
        """Raise PlanError if there are faults; ``what`` names the thing read, e.g. ``the plan``."""
        if self._found:
            faults = self._ordered()
            count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
            raise PlanError(f"{what} has {count}", where=self._found[faults[0]], hint=hint, faults=faults)

    def _ordered(self) -> tuple[str, ...]:
        files = list(dict.fromkeys(where.file for where in self._found.values()))
        place = {fault: (files.index(where.file), where.line or 0) for fault, where in self._found.items()}
        return tuple(sorted(self._found, key=place.__getitem__))


class Reader:
    """Reads nodes by schema. Each method adds a fault and returns its default when the node is not what it should be.

    A method given None (the key is missing, which ``section`` reported if it is required) returns the default silently.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def section(
        self, node: Node | None, what: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()
    ) -> dict[str, Node]:
        """Return the known keys of a mapping; unknown keys and missing required ones are faults."""
        if node is None:
            return {}
        if node.kind != "mapping":
            self.faults.expected(node, f"{what} as a mapping")
            return {}
        needed = tuple(required)
        known = (*needed, *optional)
        for key in node.mapping:
            if key not in known:
                self.faults.add(node.place(key), f"unknown key '{key}' in {what}{suggestion(key, known)}")
        for key in needed:
            if key not in node.mapping:
                self.faults.add(node.where, f"expected the key '{key}' in {what}, found none")
        return {key: value for key, value in node.mapping.items() if key in known}

    def sequence(self, node: Node | None, what: str) -> list[Node]:
        """Return the items of a sequence."""
        if node is not None and node.kind != "sequence":
            self.faults.expected(node, f"{what} as a list")
        return [] if node is None else node.sequence

    def text(
        self, node: Node | None, what: str, *, pattern: str | None = None, most: int = 10_000, default: str = ""
    ) -> str:
        """Return text that is not blank, at most ``most`` characters, fully matching ``pattern`` if one is given."""
        if node is None:
            return default
        text = node.text
        if text is None or not text.strip():
            self.faults.expected(node, what)
        elif len(text) > most:
            self.faults.add(node.where, f"expected {what} of at most {most} characters, found {len(text)}")
        elif hidden := plaintext.problems(text):
            self.faults.add(node.where, f"expected {what} as plain text: {hidden[0][1]}")
        elif pattern is not None and not re.fullmatch(pattern, text):
            self.faults.expected(node, what)
        else:
            return text
        return default

    def line(self, node: Node | None, what: str, *, most: int = 200, default: str = "") -> str:
        """Return text of one line without invisible characters, white space around it cut off."""
        text = self.text(node, what, most=most, default=default).strip()
        if node is not None and ("\n" in text or "\t" in text):
            self.faults.expected(node, f"{what} in one line")
            return default
        return text

    def integer(self, node: Node | None, what: str, *, least: int = 0, most: int = 2**53 - 1, default: int = 0) -> int:
        """Return a decimal integer without leading zeros, written without quotes, in ``least`` to ``most``."""
        if node is None:
            return default
        if not node.plain or not re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", node.raw):
            self.faults.expected(node, what)
        elif not least <= int(node.raw) <= most:
            self.faults.expected(node, f"{what} in {least} to {most}")
        else:
            return int(node.raw)
        return default

    def boolean(self, node: Node | None, what: str, *, default: bool = False) -> bool:
        """Return a plain ``true`` or ``false``; nothing else is a truth value."""
        return default if node is None else self.choice(node, ("true", "false"), what, default="false") == "true"

    def choice(self, node: Node | None, options: Iterable[str], what: str, *, default: str = "") -> str:
        """Return one of ``options``."""
        if node is None:
            return default
        known = tuple(options)
        if node.text in known:
            return node.text
        near = suggestion(node.raw, known)
        self.faults.expected(node, f"{what} ({', '.join(known)})")
        if near:
            self.faults.add(node.where, f"'{node.raw}' is not one of them{near}")
        return default

    def duration(self, node: Node | None, what: str, *, least: int = 0, most: int = 10**8, default: int = 0) -> int:
        """Return milliseconds of a duration written as an integer with ``ms``, ``s``, ``m``, ``h`` or ``d``."""
        if node is None:
            return default
        match = re.fullmatch(r"(0|[1-9][0-9]{0,8})(ms|s|m|h|d)", node.raw)
        if not match:
            self.faults.expected(node, f"{what} as a duration like 500ms, 2s or 5m")
            return default
        value = int(match[1]) * _UNITS[match[2]]
        if not least <= value <= most:
            self.faults.expected(node, f"{what} of {least} to {most} ms")
            return default
        return value


def load(text: bytes | str, file: str) -> Node:
    """Read one YAML document; messages name the path ``file``. Raises PlanError with every fault and its line."""
    faults = Faults()
    node = read(text, file, faults)
    faults.stop(file, "correct the lines named, then run the command again")
    return node


def read(text: bytes | str, file: str, faults: Faults) -> Node:
    """Read one document like ``load`` but add to ``faults``; return an empty mapping where nothing can be read."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > MOST_BYTES:
        faults.add(Where(file=file), f"expected at most {MOST_BYTES} bytes of YAML, found {len(content)}")
        return _nothing(file)
    decoded, problems = plaintext.decode(content)
    problems = problems + [(line, "a tab; indent with spaces") for line in _lines_with_tab(decoded)]
    for line, problem in problems:
        faults.add(Where(file=file, line=line), problem)
    if problems and not decoded:
        return _nothing(file)
    quickly = None if problems else _with_libyaml(decoded, file)
    return quickly or _Composer(decoded, file, faults, yaml.BaseLoader).document()


def _with_libyaml(text: str, file: str) -> Node | None:
    """Read with libyaml, in a tenth of the time; None for a fault of any kind: PyYAML's own parser says what it is."""
    if _LIBYAML is None or _ODD.search(text):
        return None
    faults = Faults()
    node = _Composer(text, file, faults, _LIBYAML).document()
    return None if len(faults) else node


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'steps'?)``, or '' when nothing known is near."""
    options = list(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    near = near or [option for option in options if word and option.casefold().startswith(word.casefold())]
    return f" (did you mean '{near[0]}'?)" if near else ""


def _lines_with_tab(text: str) -> list[int]:
    if "\t" not in text:
        return []
    return [number for number, line in enumerate(text.split("\n"), start=1) if "\t" in line][: plaintext.MOST]


def _nothing(file: str) -> Node:
    return Node(Where(file=file, line=1), "mapping", {}, keys={})


class _Mark(Protocol):
    """A place that PyYAML names; ``line`` counts from 0."""

    line: int


class _Unreadable(Exception):
    """Reading cannot go on; the fault was added already."""


class _Composer:
    """Builds nodes from PyYAML's events, going on after every fault that is not one of syntax."""

    def __init__(self, text: str, file: str, faults: Faults, loader: type[yaml.BaseLoader | yaml.CBaseLoader]) -> None:
        self._file = file
        self._faults = faults
        self._loader = loader
        self._broken = bool(plaintext.problems(text)) or "\t" in text
        if self._broken:
            text = "".join(character if plaintext.visible(character) else " " for character in text)
        self._events = yaml.parse(text.replace("\t", " "), Loader=loader)

    def document(self) -> Node:
        """Return the only document of the stream."""
        try:
            self._next()
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                self._faults.add(Where(file=self._file, line=1), "expected a mapping, found an empty file")
                return _nothing(self._file)
            if getattr(event, "version", None) or getattr(event, "tags", None):
                self._fault(event, "the directive '%' is not allowed; start with the first key")
            node = self._node(self._next(), 0)
            self._next()
            self._end(self._next())
            return node
        except _Unreadable:
            return _nothing(self._file)

    def _end(self, event: yaml.Event) -> None:
        if not isinstance(event, yaml.StreamEndEvent):
            self._fault(event, "expected one document, found another one after '---'")

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            if not self._broken:
                self._faults.add(self._where(error.problem_mark or error.context_mark), _syntax(error))
            raise _Unreadable from error
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self._faults.add(Where(file=self._file), "expected YAML, found something that cannot be read as such")
            raise _Unreadable from error

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._plainly(event)
        if depth > MOST_DEPTH:
            self._fault(event, f"expected at most {MOST_DEPTH} levels, found deeper nesting")
            raise _Unreadable
        where = self._where(event.start_mark)
        match event:
            case yaml.ScalarEvent():
                return self._scalar(where, event)
            case yaml.SequenceStartEvent():
                return Node(where, "sequence", self._items(depth))
            case yaml.MappingStartEvent():
                return self._mapping(where, depth)
            case _:
                return Node(where, "scalar", None, True)

    def _scalar(self, where: Where, event: yaml.ScalarEvent) -> Node:
        plain = not event.style
        if plain and not event.value and self._loader is _LIBYAML:
            self._fault(event, "nothing; libyaml says of another line that it is there")
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._fault(event, "half of a surrogate pair is no character")
            return Node(where, "scalar", "", plain)
        return Node(where, "scalar", None if plain and event.value in NULLS else event.value, plain, event.value)

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _mapping(self, where: Where, depth: int) -> Node:
        value: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            item = self._node(self._next(), depth + 1)
            if key.text is None:
                self._faults.expected(key, "a key that is text")
            elif key.text in value:
                first = keys[key.text].line
                self._faults.add(key.where, f"the key '{key.text}' stands here again, first in line {first}")
            else:
                value[key.text], keys[key.text] = item, key.where
        return Node(where, "mapping", value, keys=keys)

    def _plainly(self, event: yaml.Event) -> None:
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, f"the alias '*{anchor}' is not allowed; write the value out")
        elif anchor:
            self._fault(event, f"the anchor '&{anchor}' is not allowed; write the value out where it is needed")
        if tag:
            self._fault(event, f"the tag '{tag}' is not allowed; write the value plainly")

    def _fault(self, event: yaml.Event, message: str) -> None:
        self._faults.add(self._where(event.start_mark), message)

    def _where(self, mark: _Mark | None) -> Where:
        return Where(file=self._file, line=None if mark is None else mark.line + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = re.sub(r"\s+", " ", error.problem or "it cannot be read")
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {problem}{context}"
