"""Four ways to run candidates from the same state, each behind the same three methods.

The fork sandbox, and what others do: a fresh process for each candidate that unpickles the state
(cloudpickle); smolagents' interpreter over a copy of the state; and a fresh process that runs all
earlier code again. In each the first candidate goes on.
"""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from sport.sandbox import ForkSandbox, Limits, Snapshot

# Runs code and tells the value of its last expression.
_RUN = """
import ast, sys
def run(code, state):
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "<step>", "exec"), state)
    return repr(eval(compile(last, "<step>", "eval"), state))
"""
_FRESH = (
    _RUN
    + """
import cloudpickle
with open(sys.argv[1], "rb") as file:
    state = cloudpickle.load(file)
print(run(sys.stdin.readline().encode().decode("unicode_escape"), state), flush=True)
if sys.stdin.readline().strip() == "keep":
    state.pop("__builtins__", None)
    with open(sys.argv[2], "wb") as file:
        cloudpickle.dump(state, file)
"""
)
_REPLAY = (
    _RUN
    + """
import json
*earlier, last = json.load(sys.stdin)
state = {"__name__": "__main__"}
for code in earlier:
    exec(code, state)
print(run(last, state))
"""
)


class Way(Protocol):
    """A way to run candidates from the same state."""

    name: str

    async def start(self, code: str) -> None:
        """Makes the state."""
        ...

    async def step(self, codes: Sequence[str]) -> list[str | None]:
        """Values of last expressions, one a candidate; the first candidate goes on."""
        ...

    async def close(self) -> None:
        """Ends everything."""
        ...


class Forked:
    """The fork sandbox."""

    name = "fork sandbox"

    def __init__(self, tier: str | None = None) -> None:
        """In a tier; the best there is if not given."""
        self.sandbox = ForkSandbox(tier=tier, limits=Limits(memory_mb=4096))
        self._base: Snapshot | None = None

    async def start(self, code: str) -> None:
        """Opens a world and runs code in it."""
        self._base = await self.sandbox.open()
        await self.step([code])

    async def step(self, codes: Sequence[str]) -> list[str | None]:
        """Forks."""
        assert self._base is not None
        outcomes = await self.sandbox.run(self._base, codes)
        values = [None if o.error else o.value for o in outcomes]
        self._base = await self.sandbox.commit(outcomes[0])
        return values

    async def close(self) -> None:
        """Closes the sandbox."""
        await self.sandbox.close()


class Fresh:
    """A fresh process for each candidate; it loads the state, and the winner dumps its own."""

    name = "fresh processes, cloudpickle"

    def __init__(self) -> None:
        """Pickles lie in a temporary folder."""
        self._folder = tempfile.TemporaryDirectory()
        self._state = Path(self._folder.name, "state")

    async def start(self, code: str) -> None:
        """Runs code in this process, and pickles what it made."""
        import cloudpickle

        state: dict[str, Any] = {"__name__": "__main__"}
        exec(code, state)
        state.pop("__builtins__")
        self._state.write_bytes(cloudpickle.dumps(state))

    async def step(self, codes: Sequence[str]) -> list[str | None]:
        """Starts processes."""
        kept = Path(self._folder.name, "kept")
        command = [sys.executable, "-c", _FRESH, str(self._state), str(kept)]
        pipe = asyncio.subprocess.PIPE
        running = [
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
            )
            for _ in codes
        ]
        values: list[str | None] = []
        for process, code in zip(running, codes, strict=True):
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(code.encode("unicode_escape") + b"\n")
            values.append((await process.stdout.readline()).decode().strip() or None)
        for index, process in enumerate(running):
            await process.communicate(b"lose\n" if index else b"keep\n")
        if kept.exists():
            kept.replace(self._state)
        return values

    async def close(self) -> None:
        """Removes the pickles."""
        self._folder.cleanup()


class Copied:
    """smolagents' ``LocalPythonExecutor``, in this process, over deep copies of the state."""

    name = "smolagents, copied state"

    def __init__(self) -> None:
        """All imports are allowed: nothing is lost for want of permission."""
        self._executor = self._fresh()

    @staticmethod
    def _fresh() -> Any:
        from smolagents.local_python_executor import LocalPythonExecutor

        executor = LocalPythonExecutor(["*"], additional_functions={"open": open})
        executor.send_tools({})
        return executor

    async def start(self, code: str) -> None:
        """Plain Python makes the state: the interpreter would take minutes."""
        state: dict[str, Any] = {"__name__": "__main__"}
        exec(code, state)
        state.pop("__builtins__")
        self._executor.state.update(state)

    async def step(self, codes: Sequence[str]) -> list[str | None]:
        """Copies and interprets."""
        executors = []
        values: list[str | None] = []
        for code in codes:
            executor = self._fresh()
            executor.state = _copy(self._executor.state)
            values.append(repr(executor(code).output))
            executors.append(executor)
        self._executor = executors[0]
        return values

    async def close(self) -> None:
        """Nothing is left to end."""


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    """A deep copy; modules cannot be copied, and stay shared."""
    modules = {id(v): v for v in state.values() if type(v) is type(sys)}
    return copy.deepcopy(state, modules)


class Replayed:
    """A fresh process for each candidate, which runs all earlier code again."""

    name = "replay"

    def __init__(self) -> None:
        """Nothing has run."""
        self._earlier: list[str] = []

    async def start(self, code: str) -> None:
        """Remembers the code."""
        self._earlier = [code]

    async def step(self, codes: Sequence[str]) -> list[str | None]:
        """Starts processes."""
        values = await asyncio.gather(*(asyncio.to_thread(self._replay, code) for code in codes))
        self._earlier.append(codes[0])
        return list(values)

    def _replay(self, code: str) -> str | None:
        done = subprocess.run(
            [sys.executable, "-c", _REPLAY],
            input=json.dumps([*self._earlier, code]),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or None

    async def close(self) -> None:
        """Nothing is left to end."""
