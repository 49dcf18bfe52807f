"""JSON schemas of other people's tools as Python signatures."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal

_KINDS: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
    "object": dict[str, Any],
}
_DEEPEST, _MOST_PARTS, _MOST_PARAMETERS = 8, 1_000, 100
_MOST_CHOICES, _LONGEST_CHOICE, _LONGEST_NAME = 50, 100, 100
_PATH = re.compile(r"(?:^|_)(?:path|file|filename|filepath)s?$", re.IGNORECASE)
_KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD


def is_path_name(name: str) -> bool:
    """Whether a parameter's name says that it takes a path: ``path``, ``image_path``, ``file``."""
    return _PATH.search(name) is not None


def as_name(text: str) -> str:
    """A Python name from any name: ``max-results`` becomes ``max_results``.

    Raises:
        ValueError: It is too long to be a name.
    """
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"the name {text[:20]!r}… has more than {_LONGEST_NAME} characters")
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "_"
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) else name


def parameters(
    schema: Mapping[str, Any], paths: bool
) -> tuple[list[inspect.Parameter], dict[str, str]]:
    """The parameters that an object's schema describes.

    Args:
        schema: Schema of the arguments.
        paths: Whether texts whose names say that they are paths are files of the workspace.

    Returns:
        The parameters, and the schema's own name of each by ours.

    Raises:
        ValueError: It is no schema of an object, is too large, or two of its names become one.
    """
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise ValueError("its input schema is none of an object")
    if len(properties) > _MOST_PARAMETERS:
        raise ValueError(f"it takes more than {_MOST_PARAMETERS} arguments")
    required = schema.get("required", [])
    if not isinstance(required, list) or not set(map(str, required)) <= set(properties):
        raise ValueError("its input schema requires arguments that it does not describe")
    found: list[inspect.Parameter] = []
    names: dict[str, str] = {}
    for theirs, spec in properties.items():
        ours = as_name(str(theirs))
        if ours in names:
            raise ValueError(f"its arguments {names[ours]!r} and {theirs!r} have one Python name")
        names[ours] = str(theirs)
        found.append(_parameter(ours, spec, theirs in required, schema, paths))
    return found, names


def is_inline_file(spec: Any) -> bool:
    """Whether a schema asks for the bytes of a file in a text."""
    return isinstance(spec, Mapping) and (
        spec.get("contentEncoding") == "base64" or spec.get("format") == "data-uri"
    )


def annotation(spec: Any, whole: Mapping[str, Any]) -> Any:
    """The Python type of a schema; ``Any`` for what Python's types cannot say.

    Args:
        spec: The schema.
        whole: The schema that its references lead into.

    Raises:
        ValueError: It is too large.
    """
    return _Reader(whole).read(spec, 0)


class _Reader:
    """Reads a schema of anybody's, which may refer to itself without end."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole
        self._left = _MOST_PARTS

    def read(self, spec: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"its input schema has more than {_MOST_PARTS} parts")
        if not isinstance(spec, Mapping) or depth > _DEEPEST:
            return Any
        if "$ref" in spec:
            return self.read(_resolved(spec["$ref"], self._whole), depth + 1)
        if _is_choice(spec.get("enum")):
            return Literal[tuple(spec["enum"])]
        for key in ("anyOf", "oneOf"):
            if isinstance(spec.get(key), list) and spec[key]:
                return either([self.read(s, depth + 1) for s in spec[key]])
        kind = spec.get("type")
        if isinstance(kind, list) and kind:
            return either([self.read({**spec, "type": k}, depth + 1) for k in kind])
        if kind == "string" and spec.get("format") == "path":
            return Path
        if kind == "array":
            return list[self.read(spec.get("items"), depth + 1)]  # type: ignore[misc]
        return _KINDS.get(kind, Any) if isinstance(kind, str) else Any


def _is_choice(values: Any) -> bool:
    """Whether values are few and plain enough to be named in a signature."""
    return (
        isinstance(values, list)
        and 0 < len(values) <= _MOST_CHOICES
        and all(isinstance(v, str | int) and len(str(v)) <= _LONGEST_CHOICE for v in values)
    )


def either(kinds: Sequence[Any]) -> Any:
    """The type of values that are of one of several types."""
    return reduce(or_, kinds)


def _parameter(
    name: str, spec: Any, required: bool, whole: Mapping[str, Any], paths: bool
) -> inspect.Parameter:
    made = annotation(spec, spec if isinstance(spec, Mapping) and "$defs" in spec else whole)
    if is_inline_file(spec) or (paths and is_path_name(name) and made in (str, list[str])):
        made = list[Path] if made == list[str] else Path
    default = spec.get("default") if isinstance(spec, Mapping) else None
    return inspect.Parameter(
        name, _KIND, annotation=made, default=inspect.Parameter.empty if required else default
    )


def _resolved(reference: Any, whole: Mapping[str, Any]) -> Any:
    found: Any = whole
    for part in str(reference).removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
