"""Finding the tools that a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from sport.tools.function import Tool, as_tool


class ToolNotFound(ValueError):
    """A recipe names a tool that cannot be had; says which one and how to mend it."""


def load_tools(
    specs: Sequence[str], builtin: Mapping[str, Callable[[], Tool]], root: Path
) -> dict[str, Tool]:
    """The tools that a recipe names, by the name that candidates call them.

    Args:
        specs: Built-in names such as ``"ocr"``, or ``"module:attribute"`` such as
            ``"my_tools:weigh"``.
        builtin: Makers of the built-in tools; only those named are made.
        root: The recipe's folder; modules are looked for there first.

    Raises:
        ToolNotFound: A name is unknown, a module does not load, or two tools share a name.
    """
    tools: dict[str, Tool] = {}
    for spec in specs:
        found = _own(spec, root) if ":" in spec else _builtin(spec, builtin)
        if found.name in tools:
            raise ToolNotFound(f"tools: two tools are named {found.name!r}; rename one of them")
        tools[found.name] = found
    return tools


def _builtin(name: str, builtin: Mapping[str, Callable[[], Tool]]) -> Tool:
    if name in builtin:
        return builtin[name]()
    near = get_close_matches(name, builtin, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(builtin))}"
    raise ToolNotFound(f"tools: unknown tool {name!r}; {hint} (own tools: 'module:function')")


def _own(spec: str, root: Path) -> Tool:
    try:
        return as_tool(load_attribute(spec, root), spec.partition(":")[2])
    except (TypeError, NameError) as error:
        raise ToolNotFound(f"tools: {spec!r}: {error}") from error


def load_attribute(spec: str, root: Path, key: str = "tools") -> Any:
    """What ``module:attribute`` names.

    Args:
        spec: The name; the module is looked for below ``root`` first.
        root: The recipe's folder.
        key: Key of the recipe that errors name.

    Raises:
        ToolNotFound: The module does not load, or has no such attribute.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        module = _module(module_name, root)
    except ToolNotFound:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise ToolNotFound(
            f"{key}: {spec!r}: {module_name} fails to load: {kind}: {error}"
        ) from error
    if not hasattr(module, attribute):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        near = get_close_matches(attribute, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(names) or 'none'}"
        raise ToolNotFound(f"{key}: {spec!r}: {module_name} has no {attribute!r}; {hint}")
    return getattr(module, attribute)


def _module(name: str, root: Path) -> ModuleType:
    path = root.resolve() / Path(*name.split("."))
    for file in (path.with_name(path.name + ".py"), path / "__init__.py"):
        if file.is_file():
            return _module_from(file, root)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise ToolNotFound(
            f"tools: there is no module {name!r}: neither {path}.py nor an installed one"
        ) from None


def _module_from(file: Path, root: Path) -> ModuleType:
    """Loads a file under a name of its own: recipes in two folders may both have a my_tools."""
    name = f"_sport_tools_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ToolNotFound(f"tools: {file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(root.resolve()))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(root.resolve()))
    return module
