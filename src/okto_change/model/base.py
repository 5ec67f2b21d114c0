"""The one decorator of every domain type, and places in files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def type_(cls: type[T]) -> type[T]:
    """Make ``cls`` a domain type: frozen, keyword-only, slotted."""
    return dataclass(frozen=True, kw_only=True, slots=True)(cls)


@type_
class Where:
    """A place in a file of the change repository, for messages: ``changes/x/plan.yaml:12``."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"
