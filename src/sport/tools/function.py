"""What a tool is, and how a function becomes one.

A tool is a Python function that runs in the host. A parameter annotated ``Path`` is a file of the
calling candidate's workspace: the function gets the path of a private copy, so nothing that the
candidate does meanwhile can lead it elsewhere. A ``Path`` that it returns is copied into the
workspace, and the candidate gets the copy's name::

    @tool(deterministic=True)
    def weigh(image_path: Path) -> float:
        \"\"\"Weighs the object in the picture, in grams.\"\"\"
"""

from __future__ import annotations

import inspect
import tempfile
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from sport.tools.paths import add_file, open_file

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


class Tool:
    """A named function that candidates may call.

    Attributes:
        fn: The function.
        name: What candidates call it.
        description: What it does, for the prompt.
        parameters: Its parameters, in order.
        signature: Such as ``ocr(image_path: str) -> str``, for the prompt.
        deterministic: Whether equal arguments and files give equal results: they may be cached.
        timeout_s: How long a call may take, in seconds.
    """

    def __init__(
        self,
        fn: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        deterministic: bool = False,
        timeout_s: float = 60.0,
    ) -> None:
        """Wraps ``fn``; its signature and docstring describe it to the model.

        Raises:
            TypeError: ``fn`` takes ``*args`` or ``**kwargs``, or is a coroutine function.
        """
        self.fn = fn
        self.name = name or fn.__name__
        self.description = description or inspect.getdoc(fn) or ""
        self.deterministic = deterministic
        self.timeout_s = timeout_s
        if not self.name.isidentifier():
            raise TypeError(f"tool name {self.name!r} is not a Python name: give another by name=")
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"tool {self.name!r} is a coroutine function: make it a plain one")
        hints = typing.get_type_hints(fn)
        self.parameters = tuple(
            _parameter(self.name, p, hints.get(p.name, Any))
            for p in inspect.signature(fn).parameters.values()
        )
        returns = f" -> {_type_text(hints['return'])}" if "return" in hints else ""
        self.signature = f"{self.name}({', '.join(map(_shown, self.parameters))}){returns}"

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Arguments by name.

        Raises:
            TypeError: They do not fit the signature; says what to change.
        """
        names = [p.name for p in self.parameters]
        if len(args) > len(names):
            raise self._misfit(f"takes {len(names)} arguments, got {len(args)}")
        bound = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in names:
                raise self._misfit(f"has no argument {key!r}")
            if key in bound:
                raise self._misfit(f"got argument {key!r} twice")
            bound[key] = value
        for p in self.parameters:
            if p.required and p.name not in bound:
                raise self._misfit(f"needs argument {p.name!r}")
            if p.name in bound:
                self._check(p, bound[p.name])
        return bound

    def files(self, arguments: Mapping[str, JsonValue]) -> dict[str, list[str]]:
        """The file arguments among ``arguments``: paths by name of the parameter."""
        found: dict[str, list[str]] = {}
        for p in self.parameters:
            value = arguments.get(p.name)
            if p.is_file and value is not None:
                found[p.name] = [str(v) for v in value] if isinstance(value, list) else [str(value)]
        return found

    def __call__(self, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """Calls the function for a candidate.

        Args:
            workspace: The candidate's workspace.
            arguments: By name, as :meth:`bind` gives them.

        Returns:
            Its result as JSON; a file that it made is a path relative to the workspace.

        Raises:
            FileNotFoundError, PermissionError, IsADirectoryError: A file argument cannot be used.
            Exception: Whatever the function raises.
        """
        return deliver(workspace, self.compute(workspace, arguments))

    def compute(self, workspace: Path, arguments: Mapping[str, JsonValue]) -> Any:
        """As a call, but without bringing files that the function made into the workspace."""
        files = self.files(arguments)
        if not files:
            return self.fn(**self._typed(arguments, {}))
        with tempfile.TemporaryDirectory(prefix="sport-tool-") as folder:
            copies = {
                name: [_private_copy(workspace, path, Path(folder) / f"{name}{i}")
                       for i, path in enumerate(paths)]
                for name, paths in files.items()
            }  # fmt: skip
            result = self.fn(**self._typed(arguments, copies))
            return _detached(result, Path(folder))

    def _typed(
        self, arguments: Mapping[str, JsonValue], copies: Mapping[str, list[Path]]
    ) -> dict[str, Any]:
        typed: dict[str, Any] = {}
        for p in self.parameters:
            if p.name not in arguments:
                continue
            value = arguments[p.name]
            if p.name in copies:
                typed[p.name] = copies[p.name] if isinstance(value, list) else copies[p.name][0]
            else:
                typed[p.name] = p.adapter.validate_python(value)
        return typed

    def _check(self, p: Parameter, value: Any) -> None:
        try:
            p.adapter.validate_python(value)
        except ValidationError:
            shown = repr(value)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise self._misfit(f"wants {p.type} as {p.name!r}, got {shown}") from None

    def _misfit(self, what: str) -> TypeError:
        return TypeError(f"{self.name} {what}; call it as {self.signature}")

    def __repr__(self) -> str:
        """Shows the signature."""
        return f"<Tool {self.signature}>"


def deliver(workspace: Path, result: Any) -> JsonValue:
    """A result as JSON; files in it (``Path`` or :class:`MadeFile`) are copied to the workspace."""
    if isinstance(result, MadeFile):
        return add_file(workspace, result.name, result.data)
    if isinstance(result, Path):
        return add_file(workspace, result.name, result)
    if isinstance(result, Mapping):
        return {str(key): deliver(workspace, value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [deliver(workspace, value) for value in result]
    if result is None or isinstance(result, str | bool | int | float):
        return result
    if hasattr(result, "tolist"):  # numpy arrays and scalars
        return deliver(workspace, result.tolist())
    raise TypeError(
        f"the tool returned a {type(result).__name__}: it must return JSON values or a Path"
    )


@dataclass(frozen=True)
class MadeFile:
    """A file that a tool made, held in memory."""

    name: str
    data: bytes


def _detached(result: Any, folder: Path) -> Any:
    """The result, with files that lie in a folder that is about to go read into memory."""
    if isinstance(result, Path) and result.is_relative_to(folder):
        return MadeFile(result.name, result.read_bytes())
    if isinstance(result, Mapping):
        return {key: _detached(value, folder) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [_detached(value, folder) for value in result]
    return result


def _private_copy(workspace: Path, path: str, folder: Path) -> Path:
    with open(open_file(workspace, path), "rb") as source:
        folder.mkdir()
        copy = folder / Path(path).name
        copy.write_bytes(source.read())
    return copy


def _parameter(tool_name: str, p: inspect.Parameter, annotation: Any) -> Parameter:
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        raise TypeError(f"tool {tool_name!r} takes *{p.name}: name its parameters")
    required = p.default is p.empty
    accepts: Any = annotation
    if not required and p.default is None:
        accepts = annotation | None
    return Parameter(
        p.name,
        _type_text(annotation),
        required,
        None if required else p.default,
        _mentions_path(annotation),
        TypeAdapter(accepts),
    )


def _mentions_path(annotation: Any) -> bool:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return issubclass(annotation, Path)
    return any(_mentions_path(a) for a in typing.get_args(annotation))


def _type_text(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return "str" if issubclass(annotation, Path) else annotation.__name__
    return str(annotation).replace("pathlib.Path", "str").replace("typing.", "")


def _shown(p: Parameter) -> str:
    return f"{p.name}: {p.type}" + ("" if p.required else f" = {p.default!r}")


def tool(
    fn: Function | None = None,
    *,
    name: str | None = None,
    deterministic: bool = True,
    timeout_s: float = 60.0,
) -> Any:
    """Makes a :class:`Tool` of a function; use it bare or with options.

    Args:
        fn: The function, where it is used bare.
        name: What candidates call it; the function's own name if not given.
        deterministic: Whether equal arguments and files give equal results.
        timeout_s: How long a call may take, in seconds.
    """

    def wrap(f: Function) -> Tool:
        return Tool(f, name=name, deterministic=deterministic, timeout_s=timeout_s)

    return wrap if fn is None else wrap(fn)


def as_tool(value: Function | Tool, name: str | None = None) -> Tool:
    """A tool from a tool or a plain function; a plain function is never cached.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, Tool):
        return value
    if not callable(value):
        raise TypeError(f"{value!r} is no tool: give a function or a Tool")
    return Tool(value, name=name)
