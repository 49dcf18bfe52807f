"""Tools of the library smolagents as tools of ours."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sport.tools.function import Tool
from sport.tools.parameters import shaped
from sport.tools.schema import either, is_path_name
from sport.tools.values import MadeFile

_TYPES: Mapping[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": float,
    "array": list[Any],
    "object": dict[str, Any],
    "null": type(None),
    "image": Path,
    "audio": Path,
}


def from_library(theirs: Any) -> Tool:
    """A tool from a ``smolagents.Tool``.

    Its pictures and sounds are files of the workspace, and so are texts whose names say that they
    are paths (``path``, ``image_path``, …): a model may name no file of the host. A picture that
    it returns becomes a file of the workspace.
    """
    inputs: Mapping[str, Mapping[str, Any]] = theirs.inputs
    parameters = [_parameter(name, spec) for name, spec in inputs.items()]
    pictures = {name for name, spec in inputs.items() if spec["type"] == "image"}

    def call(**arguments: Any) -> Any:
        taken = {k: _taken(v, k in pictures) for k, v in arguments.items()}
        return _given(theirs(**taken), theirs.output_type)

    returns = _TYPES.get(theirs.output_type, Any)
    fn = shaped(call, theirs.name, parameters, returns)
    return Tool(fn, description=_description(theirs), origin="smolagents")


def _description(theirs: Any) -> str:
    lines = [f"    {name}: {spec['description']}" for name, spec in theirs.inputs.items()]
    return "\n".join([theirs.description, *(["", "Args:", *lines] if lines else [])])


def _parameter(name: str, spec: Mapping[str, Any]) -> inspect.Parameter:
    kinds = spec["type"] if isinstance(spec["type"], list) else [spec["type"]]
    annotation: Any = either([_TYPES.get(kind, Any) for kind in kinds])
    if annotation is str and is_path_name(name):
        annotation = Path
    default: Any = None if spec.get("nullable") else inspect.Parameter.empty
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _taken(value: Any, picture: bool) -> Any:
    """An argument as the library has it: a picture is opened, another file is a text."""
    if not isinstance(value, Path):
        return value
    if not picture:
        return str(value)
    from PIL import Image

    with Image.open(value) as opened:
        opened.load()
        return opened


def _given(result: Any, kind: str) -> Any:
    """A result as we have it."""
    if kind == "image":
        return _picture(result.to_raw() if hasattr(result, "to_raw") else result)
    if kind == "audio":
        return Path(result.to_string() if hasattr(result, "to_string") else str(result))
    return str(result) if isinstance(result, str) else result


def _picture(result: Any) -> Any:
    if not hasattr(result, "save"):
        return Path(str(result))
    data = io.BytesIO()
    result.save(data, format="PNG")
    return MadeFile("image.png", data.getvalue())
