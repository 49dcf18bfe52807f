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
_DEEPEST = 8
_PATH = re.compile(r"(?:^|_)(?:path|file|filename|filepath)s?$", re.IGNORECASE)
_KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD


def is_path_name(name: str) -> bool:
    """Whether a parameter's name says that it takes a path: ``path``, ``image_path``, ``file``."""
    return _PATH.search(name) is not None


def as_name(text: str) -> str:
    """A Python name from any name: ``max-results`` becomes ``max_results``."""
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
        ValueError: It is no schema of an object, or two of its names become one.
    """
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise ValueError("its input schema is none of an object")
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


def annotation(spec: Any, whole: Mapping[str, Any], depth: int = 0) -> Any:
    """The Python type of a schema; ``Any`` for what Python's types cannot say.

    Args:
        spec: The schema.
        whole: The schema that its references lead into.
        depth: How deep it lies.
    """
    if not isinstance(spec, Mapping) or depth > _DEEPEST:
        return Any
    if "$ref" in spec:
        return annotation(_resolved(spec["$ref"], whole), whole, depth + 1)
    values = spec.get("enum")
    if isinstance(values, list) and values and all(isinstance(v, str | int) for v in values):
        return Literal[tuple(values)]
    for key in ("anyOf", "oneOf"):
        if isinstance(spec.get(key), list) and spec[key]:
            return either([annotation(s, whole, depth + 1) for s in spec[key]])
    kind = spec.get("type")
    if isinstance(kind, list) and kind:
        return either([annotation({**spec, "type": k}, whole, depth + 1) for k in kind])
    if kind == "string" and spec.get("format") == "path":
        return Path
    if kind == "array":
        return list[annotation(spec.get("items"), whole, depth + 1)]  # type: ignore[misc]
    return _KINDS.get(kind, Any) if isinstance(kind, str) else Any


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
