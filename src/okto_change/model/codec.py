"""Domain types to JSON values and back, by their type hints. A member of a union of types carries its class name as ``_type``."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from okto_change.model.moment import MICROSECONDS, moment

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return ``value`` as objects, arrays, strings, booleans, integers and null; moments as UTC text with microseconds."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).strftime(MICROSECONDS)
        case Mapping():
            return {str(key): encode(item) for key, item in value.items()}
        case list() | tuple():
            return [encode(item) for item in value]
        case frozenset() | set():
            return sorted(encode(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return {"_type": type(value).__name__} | {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    return value


def decode(kind: type[T], data: Any) -> T:
    """Return ``data`` as a ``kind``; raises ValueError when a field is missing, unknown or of the wrong type."""
    try:
        result: T = _decode(kind, data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    return result


def _decode(hint: Any, data: Any) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), data)
    if origin is tuple:
        return _tuple(get_args(hint), data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _decode(get_args(hint)[1], item) for key, item in data.items()}
    if hint is datetime:
        return moment(data, fine=True)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    if is_dataclass(hint):
        return _dataclass(hint, data)
    return _scalar(hint, data)


def _scalar(hint: Any, data: Any) -> Any:
    if hint is type(None):
        hint = types.NoneType
    if not isinstance(data, hint) or (hint is int and isinstance(data, bool)):
        raise ValueError(f"expected {hint.__name__}, found {type(data).__name__}")
    return data


def _union(options: tuple[Any, ...], data: Any) -> Any:
    if data is None and types.NoneType in options:
        return None
    rest = [option for option in options if option is not types.NoneType]
    if len(rest) == 1:
        return _decode(rest[0], data)
    named: dict[str, Any] = {option.__name__: option for option in rest}
    return _decode(named[data["_type"]], data)


def _tuple(items: tuple[Any, ...], data: Any) -> Any:
    if not isinstance(data, list):
        raise ValueError(f"expected an array, found {type(data).__name__}")
    if items[-1] is Ellipsis:
        return tuple(_decode(items[0], item) for item in data)
    return tuple(_decode(item, value) for item, value in zip(items, data, strict=True))


def _dataclass(hint: Any, data: Mapping[str, Any]) -> Any:
    hints = _hints(hint)
    unknown = data.keys() - hints.keys() - {"_type"}
    if unknown or data.get("_type", hint.__name__) != hint.__name__:
        raise ValueError(f"not a {hint.__name__}: {', '.join(sorted(unknown)) or data.get('_type')}")
    return hint(**{name: _decode(hints[name], data[name]) for name in hints})


@cache
def _hints(hint: type) -> dict[str, Any]:
    return get_type_hints(hint)
