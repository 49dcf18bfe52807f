"""Calls of tools by candidates: in threads of the host, bounded in time and size."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sport.secrets import Secrets
from sport.tools.function import Tool
from sport.types import ToolCall
from sport.untrusted import fit

LARGEST_RESULT = 1 << 20
"""Characters of a result as JSON."""

MOST_CALLS = 200
"""Calls of tools by one candidate."""

_TEXT = 1_000
_LONGEST = 20_000


class ToolThreads:
    """A few threads that call tools. One that a tool keeps for too long is given up and replaced.

    Threads cannot be ended from outside; a given-up one ends when its tool returns, and does not
    hold up the end of the program.
    """

    def __init__(self, count: int) -> None:
        """Threads start at the first call."""
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = 0

    async def call(self, work: Callable[[], Any], timeout_s: float) -> Any:
        """Runs ``work`` in a thread.

        Args:
            work: What to do.
            timeout_s: Bound from when a thread is free for it, in seconds.

        Raises:
            TimeoutError: It took longer.
            Exception: Whatever it raises.
        """
        job = _Job(work, asyncio.get_running_loop())
        if self._threads < self._count:
            self._start()
        self._jobs.put(job)
        try:
            await job.begun
            return await asyncio.wait_for(asyncio.shield(job.result), timeout_s)
        except TimeoutError:
            if not job.result.done():
                job.abandoned = True
                self._start()
            raise
        except asyncio.CancelledError:
            if job.begun.done() and not job.result.done():
                job.abandoned = True
                self._start()
            job.cancelled = True
            raise

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._serve, name="sport-tool", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            if job.abandoned:
                return

    def close(self) -> None:
        """Ends the threads that are free."""
        for _ in range(self._threads):
            self._jobs.put(None)


class _Job:
    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self.begun: asyncio.Future[None] = loop.create_future()
        self.result: asyncio.Future[Any] = loop.create_future()
        self.abandoned = False
        self.cancelled = False

    def run(self) -> None:
        if self.cancelled:
            return
        self._tell(self.begun, None, None)
        try:
            value = self._work()
        except BaseException as error:
            self._tell(self.result, None, error)
        else:
            self._tell(self.result, value, None)

    def _tell(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, future, value, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration):  # a future cannot hold it
        future.set_exception(RuntimeError(f"StopIteration: {error}"))
    else:
        future.set_exception(error)
        future.exception()  # it is looked at here: nobody may be waiting any more


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
                await threads.call(lambda: _bounded(tool, workspace, arguments), tool.timeout_s)
            )
        except TimeoutError:
            limit = self._tools[name].timeout_s
            error = ("TimeoutError", f"{name} took longer than {limit:g} s")
        except Exception as failure:
            # Whatever a tool raises is the candidate's to handle: it goes back as its exception.
            told = str(clean(self._secrets.hide_in_error(str(failure)[:_LONGEST])))
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


def _bounded(tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
    result = tool(workspace, arguments)
    if isinstance(result, str | list | dict):
        size = len(result) if isinstance(result, str) else len(json.dumps(result))
        if size > LARGEST_RESULT:
            raise ValueError(
                f"the result is too large: {size} characters, at most {LARGEST_RESULT}"
            )
    return result
