"""A config file's text with its tree, its habits (line breaks, indentation, quotes), and splices into it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from okto_change.config import jsontext, yamlread, yamlwrite
from okto_change.config.descriptors import LARGEST
from okto_change.config.tree import Entry, Node
from okto_change.errors import EditError

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
BOM = "\ufeff"


class Splice(NamedTuple):
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Sheet:
    """A parsed file. ``mark`` is its byte order mark or ''; positions in the tree do not count it."""

    file: str
    format: str
    mark: str
    text: str
    root: Node

    # ------------------------------------------------------------------ what it is like

    @cached_property
    def newline(self) -> str:
        """The file's line break."""
        first = self.text.find("\n")
        return "\r\n" if first > 0 and self.text[first - 1] == "\r" else "\n"

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, keys left out, in the order of the text."""
        return tuple(_walk(self.root))

    @cached_property
    def anchors(self) -> Mapping[str, Node]:
        """Anchored nodes by the names of their anchors."""
        return {node.anchor: node for node in self.nodes if node.anchor is not None}

    @cached_property
    def aliased(self) -> frozenset[str]:
        """Names of the anchors that an alias stands for somewhere."""
        return frozenset(node.text for node in self.nodes if node.kind == "alias")

    @cached_property
    def quote(self) -> str:
        """The quote that the file's texts have, double quotes if none has any."""
        return next((node.style for node in self.nodes if node.style in ("'", '"')), '"')

    @cached_property
    def unit(self) -> int:
        """Columns by which a block mapping stands in from the one around it."""
        return next(self._steps("mapping"), 2) or 2

    @cached_property
    def offset(self) -> int:
        """Columns by which a block list stands in from its key; 0 is usual too."""
        return next(self._steps("sequence"), self.unit)

    @cached_property
    def indent(self) -> str:
        """The characters by which JSON on several lines stands in."""
        first = self.root.entries[0].start if self.root.entries else 0
        lead = self.text[self.line(first) : first]
        return lead if lead and not lead.strip() else "  "

    def _steps(self, kind: str) -> Iterator[int]:
        for node in self.nodes:
            for entry in node.entries if node.is_block and node.kind == "mapping" else ():
                inner = entry.value
                if inner.is_block and inner.kind == kind and "\n" in self.text[entry.start : inner.entries[0].start]:
                    yield self.column(inner.entries[0].start) - self.column(entry.start)

    # ------------------------------------------------------------------ places in the text

    def line(self, at: int) -> int:
        """Return where the line of ``at`` begins."""
        return self.text.rfind("\n", 0, at) + 1

    def column(self, at: int) -> int:
        """Return how many characters stand before ``at`` on its line."""
        return at - self.line(at)

    def eol(self, at: int) -> int:
        """Return where the line of ``at`` ends, before its break."""
        end = self.text.find("\n", at)
        if end < 0:
            return len(self.text)
        return end - 1 if end > at and self.text[end - 1] == "\r" else end

    def next_line(self, at: int) -> int:
        """Return where the line after that of ``at`` begins, or the text's end."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def leads(self, at: int) -> bool:
        """Whether only spaces stand before ``at`` on its line."""
        return not self.text[self.line(at) : at].strip()

    def after_colon(self, entry: Entry) -> int:
        """Return the place after the colon (or dash) of an entry; raise EditError when its key has none on its line."""
        if entry.key is None:
            return entry.start + 1
        match = yamlread.COLON.match(self.text, entry.key.end)
        if match is None:
            raise EditError(f"the key {entry.name!r} is written in a way that cannot be edited", where=self.file)
        return match.end()

    def has_colon(self, entry: Entry) -> bool:
        """Whether a colon stands after the key, which braces of YAML may leave out."""
        return entry.key is None or yamlread.COLON.match(self.text, entry.key.end) is not None

    # ------------------------------------------------------------------ writing

    def inline(self, value: Any, *, style: str = "", lines: bool = False, at: int = 0) -> str:
        """Return ``value`` as text; in JSON on several ``lines``, standing in like the line of ``at``."""
        if self.format == "yaml":
            return yamlwrite.inline(value, style, self.quote)
        several = lines and yamlwrite.is_block(value)
        text = jsontext.write(
            value,
            spaced=self.spaced,
            ascii_only="\\u" in self.text and self.text.isascii(),
            indent=self.indent if several else None,
        )
        begin = self.line(at)
        lead = self.text[begin : begin + len(self.text[begin:at]) - len(self.text[begin:at].lstrip())]
        return text.replace("\n", self.newline + lead) if several else text

    def key(self, name: str) -> str:
        """Return a key with its colon and the space after it, as the file has them."""
        if self.format == "yaml":
            return yamlwrite.scalar(name, "", self.quote) + ": "
        return self.inline(name) + (": " if self.spaced else ":")

    def block(self, value: Any, column: int) -> str:
        """Return the lines of a YAML block collection from ``column`` on, without a break at the end."""
        return self.newline.join(yamlwrite.block(value, column, self.unit, self.offset, self.quote))

    def spliced(self, splices: Iterable[Splice]) -> Sheet:
        """Return the file with ``splices``, which do not overlap, parsed again."""
        text, last = "", 0
        for splice in sorted(splices, key=lambda splice: splice[:2]):
            text += self.text[last : splice.start] + splice.new
            last = splice.end
        return parse(self.file, self.format, self.mark, text + self.text[last:])

    def encoded(self) -> bytes:
        """Return the file's bytes."""
        return (self.mark + self.text).encode()

    @cached_property
    def spaced(self) -> bool:
        """Whether a space stands after a JSON key's colon."""
        keyed = [entry for node in self.nodes for entry in node.entries if entry.key is not None]
        return not keyed or self.text[self.after_colon(keyed[0])] in " \t\r\n"


def load(file: str, content: bytes) -> Sheet:
    """Return the file parsed by the format that its name tells. Raises EditError for what cannot be edited here."""
    suffix = file[file.rfind(".") :].lower() if "." in file else ""
    if suffix not in FORMATS:
        what = f"editing {suffix} files" if suffix else "editing files without a known ending"
        raise EditError(f"{what} is not available in this version", where=file, hint=f"it edits {', '.join(FORMATS)}")
    if len(content) > LARGEST:
        raise EditError(f"the file has {len(content):,} bytes, at most {LARGEST:,} are edited", where=file)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditError(f"the file is not UTF-8 (byte {error.start})", where=file) from error
    if "\r" in text.replace("\r\n", ""):
        raise EditError("the file has carriage returns that are no line breaks", where=file)
    mark = BOM if text.startswith(BOM) else ""
    return parse(file, FORMATS[suffix], mark, text.removeprefix(BOM))


def parse(file: str, format_: str, mark: str, text: str) -> Sheet:
    """Return the text parsed. Raises EditError with the line of the first fault."""
    root = yamlread.parse(text, file) if format_ == "yaml" else jsontext.parse(text, file)
    return Sheet(file=file, format=format_, mark=mark, text=text, root=root)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for entry in node.entries:
        yield from _walk(entry.value)
