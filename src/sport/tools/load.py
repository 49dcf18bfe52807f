"""Finding the tools that a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sport.tools.config import McpSettings, ToolSettings
from sport.tools.function import Tool, as_tool


class ToolNotFound(ValueError):
    """A recipe names a tool that cannot be had; says which one and how to mend it."""


def load_tools(
    specs: Sequence[str],
    builtin: Mapping[str, Callable[..., Tool]],
    root: Path,
    settings: Mapping[str, ToolSettings] | None = None,
    servers: Mapping[str, McpSettings] | None = None,
    alone: bool = False,
) -> dict[str, Tool]:
    """The tools that a recipe names, by the name that candidates call them.

    Args:
        specs: Built-in names such as ``"ocr"``, own ones as ``"module:attribute"``, such as
            ``"my_tools:weigh"``, and those of an MCP server as ``"mcp:NAME"``, or one of them as
            ``"mcp:NAME/tool"``.
        builtin: Makers of the built-in tools; only those named are made. Their keywords are the
            options that a recipe may give.
        root: The recipe's folder; modules and paths are looked for there first.
        settings: What the recipe declares of its tools, by name.
        servers: The recipe's MCP servers, by name.
        alone: Whether ``specs`` are a part of the recipe's, so that settings may be of others.

    Raises:
        ToolNotFound: A name is unknown, a module does not load, a server does not answer, two
            tools share a name, or what is declared of a tool does not fit it.
    """
    declared, servers = settings or {}, servers or {}
    tools: dict[str, Tool] = {}
    for spec in specs:
        for found in _found(spec, builtin, root, declared, servers):
            if found.name in tools:
                raise ToolNotFound(
                    f"tools: two tools are named {found.name!r}; rename one of them, or name the "
                    "tools of a server one by one, as 'mcp:NAME/tool'"
                )
            tools[found.name] = _declared(found, declared.get(found.name), builtin)
    unused = sorted(declared.keys() - tools.keys())
    if unused and not alone:
        raise ToolNotFound(
            f"[tool.{unused[0]}]: there is no such tool in `tools`; it has: {', '.join(tools)}"
        )
    return tools


def check_tools(tools: Iterable[Tool]) -> None:
    """Finds, before a run starts, what calls would fail for, such as weights that are missing.

    Raises:
        ToolNotFound: All that is lacking, a line each.
    """
    lacking: list[str] = []
    for tool in tools:
        try:
            tool.check()
        except Exception as error:
            lacking.append(f"tools: {tool.name!r} is not ready: {_told(error)}")
    if lacking:
        raise ToolNotFound("\n".join(lacking))


def _found(
    spec: str,
    builtin: Mapping[str, Callable[..., Tool]],
    root: Path,
    settings: Mapping[str, ToolSettings],
    servers: Mapping[str, McpSettings],
) -> list[Tool]:
    """What one entry of ``tools`` names."""
    if spec.startswith("mcp:"):
        return _of_server(spec, root, settings, servers)
    if ":" in spec:
        return [_own(spec, root)]
    return [_builtin(spec, builtin, root, settings.get(spec))]


def _builtin(
    name: str,
    builtin: Mapping[str, Callable[..., Tool]],
    root: Path,
    settings: ToolSettings | None,
) -> Tool:
    if name in builtin:
        options = settings.options if settings is not None else {}
        taken = _options(name, options, builtin[name], root)
        try:
            made = builtin[name](**taken)
        except Exception as error:
            raise ToolNotFound(f"tools: {name!r} is not ready: {_told(error)}") from error
        return made.declared(version=_version(options)) if options else made
    near = get_close_matches(name, builtin, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(builtin))}"
    raise ToolNotFound(
        f"tools: unknown tool {name!r}; {hint} (own tools: 'module:function', MCP: 'mcp:NAME')"
    )


def _version(options: Mapping[str, Any]) -> str:
    """A version that changes with the options, such as the folder of a model."""
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _told(error: Exception) -> str:
    """What went wrong: errors that are meant for users speak for themselves."""
    plain = isinstance(error, ValueError | OSError | ModuleNotFoundError)
    return str(error) if plain else f"{type(error).__name__}: {error}"


def _options(
    name: str, options: Mapping[str, Any], maker: Callable[..., Tool], root: Path
) -> dict[str, Any]:
    """Options as a maker takes them: checked by its annotations, paths relative to the recipe."""
    known = inspect.signature(maker).parameters
    hints = typing.get_type_hints(maker)
    taken: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            keys = ", ".join([*ToolSettings.model_fields, *known])
            near = get_close_matches(key, [*ToolSettings.model_fields, *known], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ToolNotFound(f"[tool.{name}]: unknown key {key!r}.{hint} Known: {keys}.")
        try:
            checked = TypeAdapter(hints.get(key, Any)).validate_python(value)
        except ValidationError as error:
            raise ToolNotFound(f"[tool.{name}] {key}: {error.errors()[0]['msg']}") from None
        taken[key] = (root / checked).absolute() if isinstance(checked, Path) else checked
        if isinstance(checked, Path) and not taken[key].exists():
            raise ToolNotFound(f"[tool.{name}] {key}: there is nothing at {taken[key]}")
    return taken


def _of_server(
    spec: str,
    root: Path,
    settings: Mapping[str, ToolSettings],
    servers: Mapping[str, McpSettings],
) -> list[Tool]:
    from sport.tools.mcp import connect
    from sport.tools.mcp_session import McpError
    from sport.tools.mcp_tools import server_tools

    name, _, only = spec.removeprefix("mcp:").partition("/")
    if name not in servers:
        known = f"there are: {', '.join(servers)}" if servers else "add it, with command or url"
        raise ToolNotFound(f"tools: {spec!r}: there is no section [mcp.{name}]; {known}")
    limits = {n: s.timeout_s for n, s in settings.items() if s.timeout_s is not None}
    try:
        return server_tools(connect(name, servers[name], root), only or None, limits)
    except McpError as error:
        raise ToolNotFound(f"tools: {spec!r}: {error}") from None


def _declared(
    tool: Tool, settings: ToolSettings | None, builtin: Mapping[str, Callable[..., Tool]]
) -> Tool:
    """A tool with what the recipe declares of it."""
    if settings is None:
        return tool
    if settings.options and tool.name not in builtin:
        keys = ", ".join(ToolSettings.model_fields)
        raise ToolNotFound(
            f"[tool.{tool.name}]: unknown key {next(iter(settings.options))!r}. Known: {keys}."
        )
    try:
        return tool.declared(**settings.declared)
    except TypeError as error:
        raise ToolNotFound(f"[tool.{tool.name}]: {error}") from None


def _own(spec: str, root: Path) -> Tool:
    try:
        found = as_tool(load_attribute(spec, root), spec.partition(":")[2])
    except (TypeError, NameError) as error:
        raise ToolNotFound(f"tools: {spec!r}: {error}") from error
    return found if found.origin else found.declared(origin=spec)


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
