"""Calls of tools by candidates: in threads of the host, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sport.secrets import Secrets
from sport.tools.function import Tool
from sport.tools.threads import ToolThreads
from sport.types import ToolCall
from sport.untrusted import fit

MOST_CALLS = 200
"""Calls of tools by one candidate."""

_TEXT = 1_000


class ToolDesk:
    """Answers candidates' calls of tools.

    A tool with a bound on calls at once has threads of its own: its calls wait in their own line,
    and their time runs from when it is their turn.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        threads: int,
        secrets: Secrets,
        side_effects: bool = True,
    ) -> None:
        """Nothing is started.

        Args:
            tools: The allowed tools, by name.
            threads: Calls that run at once.
            secrets: What must not be shown.
            side_effects: Whether tools with side effects may be called.
        """
        self._side_effects = side_effects
        self._tools = tools
        self._secrets = secrets
        self._shared = ToolThreads(threads)
        self._own = {
            name: ToolThreads(tool.concurrency)
            for name, tool in tools.items()
            if tool.concurrency is not None
        }

    def held(
        self, message: Mapping[str, Any], clean: Callable[[JsonValue], JsonValue]
    ) -> ToolCall | None:
        """The call that a candidate asks for, where it has side effects and could be made."""
        tool = self._tools.get(str(message.get("name")))
        if tool is None or not tool.side_effects or not self._side_effects:
            return None
        try:
            return ToolCall(name=tool.name, arguments=self._bound(message, clean))
        except (TypeError, NameError):
            return None  # it is answered at once, by what is wrong with it

    def _bound(
        self, message: Mapping[str, Any], clean: Callable[[JsonValue], JsonValue]
    ) -> dict[str, JsonValue]:
        """The arguments of a call by name.

        Raises:
            NameError: There is no such tool.
            TypeError: They do not fit it.
        """
        name, args, kwargs = str(message.get("name")), message.get("args"), message.get("kwargs")
        if name not in self._tools or not isinstance(args, list) or not isinstance(kwargs, dict):
            raise NameError(f"there is no tool {name[:100]!r}")
        given = {str(k): clean(v) for k, v in kwargs.items()}
        return self._tools[name].bind([clean(v) for v in args], given)

    async def call(
        self,
        workspace: Path,
        message: Mapping[str, Any],
        clean: Callable[[JsonValue], JsonValue],
    ) -> tuple[ToolCall, dict[str, Any]]:
        """Answers a candidate's call.

        Args:
            workspace: The candidate's workspace.
            message: What the candidate sent; it may be anything.
            clean: Makes paths of the host into those that candidates see.

        Returns:
            The record of the call, and the reply for the candidate.
        """
        began = time.perf_counter()
        name = str(message.get("name"))
        arguments = _loose(message, clean)
        try:
            arguments = self._bound(message, clean)
            tool = self._tools[name]
            if tool.side_effects and not self._side_effects:
                raise PermissionError(f"{name} has side effects and is not to be called here")
            threads = self._own.get(name, self._shared)
            result = self._fit(
                await threads.call(lambda: tool(workspace, arguments), tool.timeout_s)
            )
        except TimeoutError:
            limit = self._tools[name].timeout_s
            error = ("TimeoutError", f"{name} took longer than {limit:g} s")
        except Exception as failure:
            # Whatever a tool raises is the candidate's to handle: it goes back as its exception.
            told = str(clean(self._secrets.hide_in_error(str(failure))))
            error = (type(failure).__name__, fit(told)[:_TEXT])
        else:
            seconds = time.perf_counter() - began
            call = ToolCall(name=name, arguments=arguments, result=result, seconds=seconds)
            return call, {"result": result}
        kind, text = error
        call = ToolCall(
            name=name[:100],
            arguments=arguments,
            error=f"{kind}: {text}",
            seconds=time.perf_counter() - began,
        )
        return call, {"error": {"type": kind, "message": text}}

    def _fit(self, result: JsonValue) -> JsonValue:
        """A result without secrets and without what would drive a terminal."""
        if isinstance(result, str):
            return fit(self._secrets.hide(result))
        if isinstance(result, dict):
            return {fit(self._secrets.hide(k)): self._fit(v) for k, v in result.items()}
        if isinstance(result, list):
            return [self._fit(v) for v in result]
        return result

    def close(self) -> None:
        """Ends the threads that are free."""
        for threads in (self._shared, *self._own.values()):
            threads.close()


def _loose(
    message: Mapping[str, Any], clean: Callable[[JsonValue], JsonValue]
) -> dict[str, JsonValue]:
    """The arguments of a call that may not fit, for its record."""
    args, kwargs = message.get("args"), message.get("kwargs")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return {}
    found = {f"argument {i + 1}": clean(value) for i, value in enumerate(args)}
    return found | {str(key): clean(value) for key, value in kwargs.items()}
