"""The small readers of the policy's schema: each takes a node and gives one kind of value, or adds a fault. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from okto_change import strictyaml
from okto_change.model.moment import moment
from okto_change.strictyaml import Faults, Node

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SECRET_KEYS = frozenset({"password", "passwd", "pwd", "secret", "token", "dsn", "conninfo", "url", "uri", "passfile"})
_SECRET_TEXT = re.compile(r"://[^/\s]*@|postgres(ql)?://|\b(password|passwd|pwd)\s*[=:]|-----BEGIN", re.IGNORECASE)
_MISPLACED = "a password or connection string has no place here; name a libpq service, or the environment variable"


class Fields:
    """Reads nodes into values; a node that cannot be read adds a fault and gives a harmless value."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def fields(self, node: Node | None, required: str, optional: str) -> dict[str, Node]:
        """Return the fields of a mapping; faults for another kind of node, missing fields and unknown ones."""
        if node is None:
            return {}
        if node.kind != "mapping":
            self.expected(node, "a mapping")
            return {}
        known = [*required.split(), *optional.split()]
        for key in node.mapping:
            if key not in known and key not in _SECRET_KEYS:
                self._faults.add(node.place(key), f"unknown key {key!r}{strictyaml.suggestion(key, known)}")
        for key in required.split():
            if key not in node.mapping:
                self._faults.add(node.where, f"expected a line '{key}:', found none")
        return {key: item for key, item in node.mapping.items() if key in known}

    def named(self, node: Node | None, pattern: re.Pattern[str], what: str) -> Iterable[tuple[str, Node]]:
        """Return the entries of a mapping whose keys are names, each in the form of ``pattern``."""
        if node is None:
            return ()
        if node.kind != "mapping":
            self.expected(node, "a mapping of names")
        for name in node.mapping:
            if not pattern.fullmatch(name):
                self._faults.add(node.place(name), f"{name!r} cannot name {what}; use lower case letters, digits and -")
        return node.mapping.items()

    def items(self, node: Node | None, what: str) -> list[Node]:
        """Return the items of a list; none where there is no list."""
        if node is not None and node.kind != "sequence":
            self.expected(node, f"a list of {what}")
        return [] if node is None else node.sequence

    def text(self, node: Node | None, pattern: re.Pattern[str], what: str) -> str:
        """Return text in the form of ``pattern``, '' for none."""
        if node is None:
            return ""
        if node.text is None or not pattern.fullmatch(node.text):
            self.expected(node, what)
            return ""
        return node.text

    def texts(self, node: Node | None, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        """Return a list of texts, each in the form of ``pattern``."""
        return tuple(text for item in self.items(node, "texts") if (text := self.text(item, pattern, what)))

    def known(self, node: Node | None, known: Iterable[str], what: str) -> tuple[str, ...]:
        """Return a list of names that must all be ``known``, each at most once."""
        found: list[str] = []
        for item in self.items(node, f"{what} names"):
            if item.text is None or item.text not in known:
                self.expected(item, f"a known {what}{strictyaml.suggestion(item.text or '', known)}")
            elif item.text in found:
                self._faults.add(item.where, f"{item.text!r} stands in this list twice")
            else:
                found.append(item.text)
        return tuple(found)

    def choice(self, node: Node | None, options: tuple[str, ...], default: str) -> str:
        """Return one of ``options``."""
        if node is None:
            return default
        if node.text not in options:
            self.expected(node, " or ".join(options))
        return node.text or default

    def boolean(self, node: Node | None, default: bool) -> bool:
        """Return ``true`` or ``false``."""
        return default if node is None else self.choice(node, ("true", "false"), "false") == "true"

    def number(self, node: Node | None, least: int, most: int, what: str, default: int) -> int:
        """Return a whole number, both bounds inclusive."""
        if node is None:
            return default
        text = self.text(node, re.compile(r"[1-9][0-9]{0,8}"), what)
        if text and not least <= int(text) <= most:
            self.expected(node, f"{what} between {least} and {most}")
        return int(text or default)

    def duration(self, node: Node | None, default: int) -> int:
        """Return a length of time in seconds."""
        text = self.text(node, re.compile(r"[1-9][0-9]{0,5}[smhd]"), "a time such as 30m, 72h or 7d")
        return int(text[:-1]) * _UNITS[text[-1]] if text else default

    def moment(self, node: Node | None) -> datetime | None:
        """Return a moment, in UTC to the second."""
        if node is None:
            return None
        try:
            return moment(node.text or "")
        except ValueError:
            self.expected(node, "a moment in UTC such as 2026-11-22T17:00:00Z")
            return None

    def clock(self, node: Node | None) -> int:
        """Return a time of the day in minutes; ``24:00`` is the end of it."""
        text = self.text(node, re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00"), "a time of the day such as 09:00")
        hours, _, minutes = text.partition(":")
        return int(hours or 0) * 60 + int(minutes or 0)

    def zone(self, node: Node | None) -> str:
        """Return the name of a time zone that this machine knows."""
        from zoneinfo import ZoneInfo

        name = self.text(node, _ZONE, "a time zone such as America/Sao_Paulo or UTC")
        try:
            return ZoneInfo(name).key if name else ""
        except (KeyError, ValueError, OSError):
            if node is not None:
                self._faults.add(
                    node.where,
                    f"this machine knows no time zone {name!r}; write it as in the IANA database, or install tzdata",
                )
            return ""

    def numbers(self, node: Node | None, names: Iterable[str]) -> dict[str, int]:
        """Return how many people each of the named groups must give; groups must be known."""
        found = self.fields(node, "", " ".join(names))
        return {name: self.number(item, 1, 99, "a number of people", 1) for name, item in found.items()}

    def variable(self, node: Node | None) -> str | None:
        """Return the name of an environment variable."""
        return self.text(node, _VARIABLE, "the name of an environment variable, in capitals") or None

    def one_of(self, node: Node, part: Mapping[str, Node], first: str, second: str) -> None:
        """Add a fault unless exactly one of the two keys is there."""
        if len(part.keys() & {first, second}) != 1:
            self._faults.add(node.where, f"expected either '{first}:' or '{second}:'")

    def refuse_secrets(self, node: Node) -> None:
        """Add a fault for everything under ``node`` that looks like a secret, without showing it."""
        for key, item in node.mapping.items():
            if key in _SECRET_KEYS:
                self._faults.add(node.place(key), f"{key!r}: {_MISPLACED}")
            self.refuse_secrets(item)
        for item in node.sequence:
            self.refuse_secrets(item)
        if node.text is not None and _SECRET_TEXT.search(node.text):
            self._faults.add(node.where, _MISPLACED)

    def expected(self, node: Node, what: str) -> None:
        """Add a fault, but never show what may be a secret."""
        if not (node.text and _SECRET_TEXT.search(node.text)):
            self._faults.expected(node, what)
