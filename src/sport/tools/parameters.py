"""Parameters of tools: how they are checked, and how they read in a prompt."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

_LONGEST = 100
"""Characters of a default that a signature shows."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a tool.

    Attributes:
        name: Its name.
        type: How its type reads in a prompt: files are ``str``, since models write paths.
        required: Whether it must be given.
        default: Its default, where it need not be given.
        is_file: Whether it is a file of the workspace.
    """

    name: str
    type: str
    required: bool
    default: Any
    is_file: bool
    adapter: TypeAdapter[Any]


def make_parameter(tool_name: str, p: inspect.Parameter, annotation: Any) -> Parameter:
    """A parameter from that of a function.

    Raises:
        TypeError: It stands for any number of arguments.
    """
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        raise TypeError(f"tool {tool_name!r} takes *{p.name}: name its parameters")
    required = p.default is p.empty
    accepts: Any = annotation
    if not required and p.default is None:
        accepts = annotation | None
    return Parameter(
        p.name,
        type_text(annotation),
        required,
        None if required else p.default,
        _mentions_path(annotation),
        TypeAdapter(accepts),
    )


def _mentions_path(annotation: Any) -> bool:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return issubclass(annotation, Path)
    return any(_mentions_path(a) for a in typing.get_args(annotation))


def type_text(annotation: Any) -> str:
    """A type as it reads in a prompt: files are ``str``."""
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return "str" if issubclass(annotation, Path) else annotation.__name__
    return str(annotation).replace("pathlib.Path", "str").replace("typing.", "")


def parameter_text(p: Parameter) -> str:
    """A parameter as it reads in a signature."""
    if p.required:
        return f"{p.name}: {p.type}"
    default = repr(p.default)
    return f"{p.name}: {p.type} = {default if len(default) <= _LONGEST else '…'}"


def shaped(
    call: Function, name: str, parameters: Sequence[inspect.Parameter], returns: Any
) -> Function:
    """A function with a signature of one's own over one that takes any keywords."""

    def fn(**arguments: Any) -> Any:
        return call(**arguments)

    typed = [
        p if p.default is not None else p.replace(annotation=p.annotation | None)
        for p in parameters
    ]
    order = sorted(typed, key=lambda p: p.default is not p.empty)
    fn.__name__ = name
    fn.__annotations__ = {**{p.name: p.annotation for p in order}, "return": returns}
    fn.__signature__ = inspect.Signature(order, return_annotation=returns)  # type: ignore[attr-defined]
    return fn
