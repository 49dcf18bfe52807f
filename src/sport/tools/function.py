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

import copy
import inspect
import tempfile
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from sport.tools.parameters import Function, Parameter, make_parameter, parameter_text, type_text
from sport.tools.paths import open_file
from sport.tools.values import check_size, deliver, detached


class Tool:
    """A named function that candidates may call.

    Attributes:
        fn: The function.
        name: What candidates call it.
        description: What it does, for the prompt.
        parameters: Its parameters, in order.
        signature: Such as ``ocr(image_path: str) -> str``, for the prompt.
        deterministic: Whether equal arguments and files give equal results: they may be cached.
        side_effects: Whether a call changes something outside of the workspace.
        cost: What a call costs, in the currency of the budget.
        timeout_s: How long a call may take, in seconds.
        concurrency: Calls that may run at once; ``None`` leaves it to the sandbox.
        version: Changes with what it returns: results of another version are not used again.
        origin: Where it comes from, in words.
    """

    def __init__(
        self,
        fn: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        deterministic: bool = False,
        side_effects: bool = False,
        cost: float = 0.0,
        timeout_s: float = 60.0,
        concurrency: int | None = None,
        version: str = "",
        origin: str = "",
        ready: Callable[[], None] | None = None,
    ) -> None:
        """Wraps ``fn``; its signature and docstring describe it to the model.

        Args:
            fn: The function.
            name: See the attributes, as for the others.
            description: By default the docstring.
            deterministic: See the attributes.
            side_effects: See the attributes.
            cost: See the attributes.
            timeout_s: See the attributes.
            concurrency: See the attributes.
            version: See the attributes.
            origin: See the attributes.
            ready: Raises, before a run starts, what a call would fail for.

        Raises:
            TypeError: ``fn`` takes ``*args`` or ``**kwargs``, or is a coroutine function, or what
                is declared does not go together.
        """
        self.fn = fn
        self.name = name or fn.__name__
        self.description = description or inspect.getdoc(fn) or ""
        self.deterministic = deterministic
        self.side_effects = side_effects
        self.cost = cost
        self.timeout_s = timeout_s
        self.concurrency = concurrency
        self.version = version
        self.origin = origin
        self._ready = ready
        self._check_declared()
        hints = typing.get_type_hints(fn)
        self.parameters = tuple(
            make_parameter(self.name, p, hints.get(p.name, Any))
            for p in inspect.signature(fn).parameters.values()
        )
        returns = f" -> {type_text(hints['return'])}" if "return" in hints else ""
        self.signature = f"{self.name}({', '.join(map(parameter_text, self.parameters))}){returns}"

    def _check_declared(self) -> None:
        if not self.name.isidentifier():
            raise TypeError(f"tool name {self.name!r} is not a Python name: give another by name=")
        if inspect.iscoroutinefunction(self.fn):
            raise TypeError(f"tool {self.name!r} is a coroutine function: make it a plain one")
        if self.deterministic and self.side_effects:
            raise TypeError(
                f"tool {self.name!r} has side effects, so no result of it stands for another call: "
                "set deterministic = false"
            )
        few = self.concurrency is not None and self.concurrency < 1
        if self.timeout_s <= 0 or self.cost < 0 or few:
            raise TypeError(f"tool {self.name!r}: timeout_s and concurrency must be positive, and "
                            "cost not negative")  # fmt: skip

    def declared(self, **changes: Any) -> Tool:
        """The same tool with other properties, such as ``timeout_s=5``.

        Raises:
            TypeError: They do not go together.
        """
        other = copy.copy(self)
        other.__dict__.update(changes)
        other._check_declared()
        return other

    def check(self) -> None:
        """Finds, before a run starts, what a call would fail for.

        Raises:
            Exception: What is lacking, and how to get it.
        """
        if self._ready is not None:
            self._ready()

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
            result = self.fn(**self._typed(arguments, {}))
            check_size(result)
            return result
        with tempfile.TemporaryDirectory(prefix="sport-tool-") as folder:
            copies = {
                name: [_private_copy(workspace, path, Path(folder) / f"{name}{i}")
                       for i, path in enumerate(paths)]
                for name, paths in files.items()
            }  # fmt: skip
            result = self.fn(**self._typed(arguments, copies))
            check_size(result)
            return detached(result, Path(folder))

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


def _private_copy(workspace: Path, path: str, folder: Path) -> Path:
    with open(open_file(workspace, path), "rb") as source:
        folder.mkdir()
        copy = folder / Path(path).name
        copy.write_bytes(source.read())
    return copy


def tool(
    fn: Function | None = None,
    *,
    name: str | None = None,
    deterministic: bool | None = None,
    side_effects: bool = False,
    cost: float = 0.0,
    timeout_s: float = 60.0,
    concurrency: int | None = None,
    version: str = "",
) -> Any:
    """Makes a :class:`Tool` of a function; use it bare or with options.

    Args:
        fn: The function, where it is used bare.
        name: What candidates call it; the function's own name if not given.
        deterministic: Whether equal arguments and files give equal results; if not given, so it
            is where there are no side effects.
        side_effects: Whether a call changes something outside of the workspace.
        cost: What a call costs, in the currency of the budget.
        timeout_s: How long a call may take, in seconds.
        concurrency: Calls that may run at once.
        version: Changes with what it returns.
    """

    def wrap(f: Function) -> Tool:
        return Tool(
            f,
            name=name,
            deterministic=not side_effects if deterministic is None else deterministic,
            side_effects=side_effects,
            cost=cost,
            timeout_s=timeout_s,
            concurrency=concurrency,
            version=version,
        )

    return wrap if fn is None else wrap(fn)


def as_tool(value: Any, name: str | None = None) -> Tool:
    """A tool from a tool, a plain function, or a ``smolagents.Tool``.

    A plain function and a library's tool are never cached, since they do not say that they may be.

    Raises:
        TypeError: It is none of them.
    """
    if isinstance(value, Tool):
        return value
    if is_library_tool(value):
        from sport.tools.library import from_library

        return from_library(value)
    if not callable(value):
        raise TypeError(f"{value!r} is no tool: give a function, a Tool or a smolagents.Tool")
    return Tool(value, name=name)


def is_library_tool(value: Any) -> bool:
    """Whether it is a ``smolagents.Tool``; the library is not imported for it."""
    return any(
        kind.__name__ == "Tool" and kind.__module__.startswith("smolagents.")
        for kind in type(value).__mro__
    )
