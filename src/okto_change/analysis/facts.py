"""What a statement's tree says, in plain values, so that rules need no parser."""

from __future__ import annotations

from typing import Any

from okto_change.model.base import type_

Tree = Any
"""A node of the parser's tree; only ``tree`` and ``truth`` look inside"""


@type_
class Column:
    """A column as mentioned; ``qualifier`` is the alias or table in front, '' without one."""

    qualifier: str
    name: str


@type_
class Source:
    """One item of an UPDATE's FROM list. ``table`` is None for a subquery or VALUES list.

    ``unique`` lists the column sets that tell its rows apart, as far as the text shows; () in it means at most one row.
    """

    alias: str
    table: str | None
    unique: tuple[tuple[str, ...], ...]


@type_
class Link:
    """An equality that must hold: ``column`` equals an expression over the columns in ``needs`` (none: a constant)."""

    column: Column
    needs: tuple[Column, ...]


@type_
class Facts:
    """What the tree of one understood statement says. Names are folded and as qualified as written."""

    root: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    altered: tuple[str, ...]
    """tables whose definition or privileges DDL changes"""
    created: tuple[str, ...]
    columns: tuple[str, ...]
    """columns written: SET items, column lists of INSERT and COPY"""
    assigned: tuple[str, ...]
    """of those, the ones an UPDATE sets in rows that exist, in MERGE and ON CONFLICT too"""
    own_columns: tuple[str, ...]
    """columns in the condition that can only belong to the target"""
    always_true: str | None
    """the condition's text when it holds for every row, else None"""
    null_comparisons: tuple[str, ...]
    """comparisons with NULL, which are never true"""
    sources: tuple[Source, ...]
    links: tuple[Link, ...]
    ranges: tuple[str, ...]
    """columns held between the two ends of a batch's chunk"""
    unordered_limits: int
    """how many queries have LIMIT without ORDER BY"""
