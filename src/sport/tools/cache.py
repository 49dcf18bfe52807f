"""Calls of tools, each kept, and those of deterministic tools made once for equal content."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path

from pydantic import JsonValue

from sport.secrets import Secrets
from sport.tools.calls import Answer, CallStore, How, call_key
from sport.tools.function import Tool
from sport.tools.values import decode, deliver, encode


class ToolCache:
    """Stands in front of tools: keeps every call, and makes equal ones once where it may.

    Safe to share among threads. Equal calls of a deterministic tool are known by (tool, version,
    arguments, bytes of files); those that come at once wait for the first. Failures are kept, but
    stand for no other call.
    """

    def __init__(self, store: CallStore | None = None, secrets: Secrets | None = None) -> None:
        """Keeps calls in ``store``, by default in memory, without ``secrets``."""
        self.store = store or CallStore()
        self._secrets = secrets or Secrets()
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Answer]] = {}

    def wrap(self, tools: Iterable[Tool]) -> dict[str, Tool]:
        """The tools by name, with this in front of them."""
        return {t.name: CachedTool(t, self) for t in tools}

    def call(self, tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """As ``tool(workspace, arguments)``, computed at most once for equal calls."""
        key = call_key(tool, workspace, arguments)
        if tool.deterministic:
            answer = self._once(key, tool, workspace, arguments)
        else:
            answer = self._make(key, tool, workspace, arguments)
        return deliver(workspace, decode(answer.result))

    def _once(
        self, key: str, tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]
    ) -> Answer:
        how: How = "shared"
        with self._lock:
            future = self._under_way.get(key)
            found = self.store.find(key) if future is None else None
            mine = future is None and found is None
            if future is None:
                how, future = "cached", Future()
                if found is not None:
                    future.set_result(found)
                else:
                    self._under_way[key] = future
        if mine:
            return self._fill(future, key, tool, workspace, arguments)
        if future.exception() is not None:  # another's attempt failed: it may have been chance
            return self._make(key, tool, workspace, arguments)
        self.store.add(tool, key, arguments, how, Answer())
        return future.result()

    def _fill(
        self,
        future: Future[Answer],
        key: str,
        tool: Tool,
        workspace: Path,
        arguments: Mapping[str, JsonValue],
    ) -> Answer:
        try:
            answer = self._make(key, tool, workspace, arguments)
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            future.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._under_way[key]

    def _make(
        self, key: str, tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]
    ) -> Answer:
        """Calls the tool, and keeps what came of it."""
        began = time.perf_counter()
        try:
            result = self._secrets.clean(encode(tool.compute(workspace, arguments)))
        except NotRecorded:
            self.store.add(tool, key, arguments, "missing", Answer())
            raise
        except Exception as error:
            told = (type(error).__name__, self._secrets.hide_in_error(str(error)))
            failed = Answer(error=told, seconds=time.perf_counter() - began)
            self.store.add(tool, key, arguments, "called", failed)
            raise
        answer = Answer(result=result, seconds=time.perf_counter() - began)
        self.store.add(tool, key, arguments, "called", answer)
        return answer


class CachedTool(Tool):
    """A tool in front of which a cache stands."""

    def __init__(self, inner: Tool, cache: ToolCache) -> None:
        """Looks like ``inner``, and answers from ``cache`` where it can."""
        self.__dict__.update(inner.__dict__)
        self._inner = inner
        self._cache = cache

    def __call__(self, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """As the tool's own call, from the cache where it is there."""
        return self._cache.call(self._inner, workspace, arguments)


class NotRecorded(LookupError):
    """A replay has no answer to a call; says to which."""
