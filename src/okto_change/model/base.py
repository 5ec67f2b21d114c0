"""The decorators of every domain type, and places in files.

They do what ``dataclasses`` does, but write the code of a class only when somebody makes one: a command declares a
hundred types, at half a millisecond each, and uses a dozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from operator import attrgetter
from threading import RLock
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")
_ONE_AT_A_TIME = RLock()


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def type_(cls: type[T]) -> type[T]:
    """Make ``cls`` a domain type: frozen, keyword-only, slotted."""
    return _declare(cls, kw_only=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` like a domain type whose fields may also be given by position."""
    return _declare(cls, kw_only=False)


class _Fields:
    """Stands for a class's ``__dataclass_fields__`` until they, or its first instance, are asked for."""

    def __init__(self, template: type, kw_only: bool) -> None:
        self._template = template
        self._kw_only = kw_only

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        with _ONE_AT_A_TIME:
            if vars(owner)["__dataclass_fields__"] is self:
                made = dataclasses.dataclass(frozen=True, kw_only=self._kw_only, eq=False, repr=False)(self._template)
                for name in ("__init__", "__match_args__", "__dataclass_params__", "__dataclass_fields__"):
                    setattr(owner, name, vars(made)[name])
            found: dict[str, Any] = vars(owner)["__dataclass_fields__"]
            return found


def _declare(cls: type[T], *, kw_only: bool) -> type[T]:
    """Return ``cls`` made again with slots; only ``object`` may be its base, and it may not have an ``InitVar``."""
    assert cls.__bases__ == (object,), cls
    names = tuple(cls.__annotations__)
    left_out = {"__dict__", "__weakref__", *names}
    own = {name: value for name, value in vars(cls).items() if name not in left_out}
    given: dict[str, Any] = {
        "__slots__": names,
        "__dataclass_fields__": _Fields(cls, kw_only),
        "__match_args__": () if kw_only else names,
        "__init__": _first,
        "__setattr__": _frozen,
        "__delattr__": _frozen,
        "__repr__": _shown,
        "__getstate__": _state,
        "__setstate__": _restore,
        **_compared(names),
    }
    metaclass: Any = type(cls)
    made: type[T] = metaclass(cls.__name__, cls.__bases__, given | own)
    return made


def _first(self: object, *values: object, **named: object) -> None:
    """Write the real ``__init__`` of the class, then be it."""
    getattr(type(self), "__dataclass_fields__")  # noqa: B009
    type(self).__init__(self, *values, **named)


def _frozen(self: object, name: str, value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _shown(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__slots__]


def _restore(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


def _compared(names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    values: Callable[[Any], Any] = attrgetter(*names) if names else bool

    def equal(self: object, other: object) -> bool:
        return bool(values(self) == values(other)) if other.__class__ is self.__class__ else NotImplemented

    def digest(self: object) -> int:
        return hash((type(self), values(self)))

    return {"__eq__": equal, "__hash__": digest}


@type_
class Where:
    """A place in a file of the change repository, for messages: ``changes/x/plan.yaml:12``."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"
