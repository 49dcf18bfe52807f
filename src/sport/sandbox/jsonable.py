"""Values of a candidate's code as JSON, inside its world.

Types are told by their looks and their modules' names: what is imported here makes every fork
dearer.
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Mapping
from typing import Any

_DEPTH = 40
_NODES = 100_000


def to_json(value: Any, *, lenient: bool) -> Any:
    """``value`` as JSON.

    Numbers, texts, paths, lists, tuples, sets, mappings, dataclasses, enumerations, dates, and
    what numpy has. Numbers that JSON lacks (``inf``, ``nan``) become text.

    Args:
        value: Any value.
        lenient: Whether other objects become their text; else they are refused.

    Raises:
        TypeError: There is an object that cannot be JSON, and ``lenient`` is false.
        ValueError: It is too large, too deep, or contains itself.
    """
    return _Converter(lenient).convert(value, 0)


class _Converter:
    def __init__(self, lenient: bool) -> None:
        self._lenient = lenient
        self._nodes = 0

    def convert(self, value: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > _DEPTH:
            raise ValueError("the value nests too deeply, or contains itself")
        if self._nodes > _NODES:
            raise ValueError(f"the value has more than {_NODES} parts")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {_key(k): self.convert(v, depth + 1) for k, v in value.items()}
        if isinstance(value, set | frozenset):
            value = _ordered(value)
        if isinstance(value, list | tuple | range) or _is_view(value):
            return [self.convert(item, depth + 1) for item in value]
        if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
            fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
            return self.convert(fields, depth + 1)
        return self._other(value, depth)

    def _other(self, value: Any, depth: int) -> Any:
        library = type(value).__module__.partition(".")[0]
        if hasattr(value, "__fspath__"):
            return str(os.fspath(value))
        if library == "datetime" and hasattr(value, "isoformat"):
            return value.isoformat()
        if library == "numpy" and hasattr(value, "tolist"):
            return self.convert(value.tolist(), depth + 1)
        if library in ("decimal", "fractions"):
            return self.convert(float(value), depth)
        if self._lenient or isinstance(value, complex):
            return str(value)
        raise TypeError(f"a {type(value).__name__} cannot be passed on: save it to a file, or "
                        "pass numbers, texts and lists")  # fmt: skip


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _is_view(value: Any) -> bool:
    return type(value).__name__ in ("dict_keys", "dict_values", "dict_items", "deque")


def _ordered(value: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return sorted(value, key=repr)
