"""Following one candidate from its fork to its outcome."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from sport.sandbox import folders, processes
from sport.sandbox.base import Limits
from sport.sandbox.cgroups import ControlGroups
from sport.sandbox.cleaning import Cleaner
from sport.sandbox.frames import BadFrame
from sport.sandbox.processes import Process
from sport.sandbox.toolcalls import MOST_CALLS, ToolDesk
from sport.sandbox.watch import Watched, Watcher
from sport.sandbox.worlds import World
from sport.types import CodeError, FinalAnswer, Outcome, Status, ToolCall

_HELLO_S = 30.0
_TOLD = 500
_ENDED = "The process ended before the code did."
_OTHERS_ENDED = "Other processes that were still running ended with the step."


@dataclass(frozen=True)
class Running:
    """One candidate under way.

    Attributes:
        watched: What the watcher knows of it.
        calls: Its calls of tools so far.
        began: When it began, by the monotonic clock.
        message: The call that it stands still before.
    """

    watched: Watched
    calls: list[ToolCall]
    began: float
    message: Mapping[str, Any] = field(default_factory=dict)


class Follower:
    """Runs code in freshly forked candidates.

    Args:
        desk: Answers calls of tools.
        limits: Bounds of every candidate.
        watcher: Enforces the limits.
        root: Folder of all worlds, as it shows in paths.
        groups: Where each candidate gets a control group of its own, if there are any.

    Attributes:
        base_memory: Resident memory of a fresh world, in bytes: it is not the candidates' own.
    """

    def __init__(
        self,
        desk: ToolDesk,
        limits: Limits,
        watcher: Watcher,
        root: Path,
        groups: ControlGroups | None,
    ) -> None:
        """One for all candidates of a sandbox."""
        self._desk = desk
        self._limits = limits
        self._watcher = watcher
        self.base_memory = 0
        self._clean = Cleaner(root)
        self._groups = groups
        self._waiting: WeakKeyDictionary[World, Running] = WeakKeyDictionary()

    async def follow(self, world: World, code: str, seed: int, hold: bool) -> Outcome:
        """Runs code in a candidate that was forked a moment ago; kills it if it misbehaves.

        Args:
            world: The candidate.
            code: Its code.
            seed: Seeds what it draws.
            hold: Whether it stands still before its first call with side effects.
        """
        began = time.monotonic()
        try:
            await world.hello()
        except EOFError:
            return self._ended(world, None, [], began)
        assert world.process is not None and world.parent is not None
        if self._groups is not None:
            await asyncio.to_thread(self._enclose, self._groups, world, world.process.pid)
        watched = Watched(
            world.process,
            (str(world.slot / "work"), str(world.slot / "n")),
            world.channel.hang_up,
            self.base_memory,
        )
        start = {
            "slot": str(world.slot),
            "base": str(world.parent.workspace),
            "code": code,
            "seed": seed,
            "step": world.step,
        }
        return await self._go(world, Running(watched, [], began), start, hold)

    def is_waiting(self, world: World) -> bool:
        """Whether a candidate stands still before a call with side effects."""
        return world in self._waiting

    async def finish(self, world: World) -> Outcome:
        """Makes the call that a candidate stands still before, and follows it to its end."""
        running = self._waiting.pop(world)
        call, reply = await self._desk.call(world.workspace, running.message, self._clean)
        running.calls.append(call)
        running.watched.resume()
        assert world.process is not None
        world.alone = False
        world.process.thaw()
        return await self._go(world, running, reply, hold=False)

    async def _go(
        self, world: World, running: Running, message: dict[str, Any], hold: bool
    ) -> Outcome:
        """Sends a candidate what it waits for, and follows it to its end, or to where it holds."""
        watched, calls = running.watched, running.calls
        self._watcher.add(watched)
        try:
            await world.channel.send(message)
            done = await self._serve(world, watched, calls, hold)
            self._watcher.drop(watched)
            if done["kind"] == "call":
                return self._held(world, replace(running, message=done))
            return self._finished(world, watched, calls, done)
        except (EOFError, ProcessLookupError, BadFrame, ValidationError, folders.TooLarge) as error:
            self._watcher.drop(watched)
            return self._ended(world, watched, calls, running.began, error)
        finally:
            self._watcher.drop(watched)
            if world not in self._waiting:
                world.close_output()

    def _held(self, world: World, running: Running) -> Outcome:
        """The outcome of a candidate that stands still before a call with side effects."""
        assert world.process is not None
        notes = [_OTHERS_ENDED] if world.process.freeze() else []
        world.alone = True
        if running.watched.verdict is not None:
            raise EOFError
        waits = self._desk.held(running.message, self._clean)
        assert waits is not None, "it was looked at before"
        told = ", ".join(f"{name}={value!r}" for name, value in waits.arguments.items())
        notes.append(f"{waits.name}({told[:_TOLD]}) waits: it is called if this action is chosen.")
        stdout, truncated = self._output(world)
        files = folders.produced(str(world.workspace), world.listing)
        self._waiting[world] = running
        return Outcome(
            id=world.id,
            stdout=stdout,
            truncated=truncated,
            files=files,
            tool_calls=tuple(running.calls),
            waits=waits,
            notes=tuple(notes),
            cpu_s=running.watched.cpu_s,
            wall_s=running.watched.wall_s(time.monotonic()),
        )

    def _enclose(self, groups: ControlGroups, world: World, pid: int) -> None:
        """Puts a candidate that waits for its code into a control group of its own."""
        try:
            world.group = groups.make(world.id, self._limits)
            world.group.add(pid)
        except ProcessLookupError:
            pass  # it died already, which its channel will tell

    async def _serve(
        self, world: World, watched: Watched, calls: list[ToolCall], hold: bool
    ) -> dict[str, Any]:
        """Answers calls of tools until the candidate is done, or asks for one that is held."""
        while True:
            message = await world.channel.receive()
            if message.get("kind") == "done":
                return message
            if message.get("kind") != "call":
                raise BadFrame("unknown kind of message")
            watched.pause()
            if hold and len(calls) < MOST_CALLS and self._desk.held(message, self._clean):
                return message
            if len(calls) < MOST_CALLS:
                call, reply = await self._desk.call(world.workspace, message, self._clean)
                calls.append(call)
            else:
                text = f"more than {MOST_CALLS} calls of tools in one step"
                reply = {"error": {"type": "RuntimeError", "message": text}}
            watched.resume()
            await world.channel.send(reply)

    def _finished(
        self, world: World, watched: Watched, calls: list[ToolCall], done: dict[str, Any]
    ) -> Outcome:
        """The outcome of a candidate that says that it is done; it is frozen until it goes on."""
        assert world.process is not None
        wall_s = watched.wall_s(time.monotonic())
        notes = [str(note) for note in done.get("notes", ())][:5]
        if world.channel.pid != world.process.pid:
            successor = Process(world.channel.pid)
            world.process.freeze((successor.pid,))
            world.process.kill()
            world.process.close()
            world.process = successor
        if world.process.freeze():
            notes.append(_OTHERS_ENDED)
        world.alone = True
        if watched.verdict is not None:
            raise EOFError
        stdout, truncated = self._output(world)
        error = done.get("error")
        return Outcome(
            id=world.id,
            status=_status(done.get("status")),
            stdout=stdout,
            truncated=truncated or bool(done.get("truncated")),
            error=self._error(error) if isinstance(error, dict) else None,
            value=self._optional_text(done.get("value")),
            final_answer=FinalAnswer(value=self._clean(done["answer"]))
            if "answer" in done
            else None,
            files=folders.produced(str(world.workspace), world.listing),
            tool_calls=tuple(calls),
            notes=tuple(notes),
            cpu_s=float(done.get("cpu_s", 0.0)),
            wall_s=wall_s,
        )

    def _ended(
        self,
        world: World,
        watched: Watched | None,
        calls: list[ToolCall],
        began: float,
        error: Exception | None = None,
    ) -> Outcome:
        """The outcome of a candidate that did not come to its end."""
        status: Status = "died"
        note = _ENDED
        if watched is not None and watched.verdict is not None:
            status, note = watched.verdict
        elif world.group is not None and world.group.ran_out_of_memory():
            status, note = (
                "memory",
                f"The code used more than {self._limits.memory_mb} MiB of memory.",
            )
        elif isinstance(error, folders.TooLarge):
            status, note = "disk", f"The code made more than {folders.MOST_ENTRIES} files."
        elif isinstance(error, BadFrame | ValidationError):
            note = "The process broke the protocol of the sandbox and was ended."
        elif watched is not None and self._used(watched) >= self._limits.cpu_s:
            status, note = "timeout", f"The code used more than {self._limits.cpu_s:g} s of CPU."
        stdout, truncated = self._output(world)
        world.end()
        assert world.parent is not None
        world.parent.end_orphans()
        return Outcome(
            id=world.id,
            status=status,
            stdout=stdout,
            truncated=truncated,
            tool_calls=tuple(calls),
            notes=(note,),
            cpu_s=watched.cpu_s if watched else 0.0,
            wall_s=time.monotonic() - began,
        )

    @staticmethod
    def _used(watched: Watched) -> float:
        now = processes.usage(watched.process.pid)
        return max(watched.cpu_s, now.cpu_s if now else 0.0)

    def _output(self, world: World) -> tuple[str, bool]:
        """What was printed, from the block of memory that the candidate shares with us."""
        if world.output < 0:
            return "", False
        most = 4 * self._limits.output_chars
        written = min(os.lseek(world.output, 0, os.SEEK_CUR), most)
        text = os.pread(world.output, written, 0).decode(errors="replace") if written > 0 else ""
        text = str(self._clean(text))
        limit = self._limits.output_chars
        return text[:limit], len(text) > limit

    def _error(self, error: dict[str, Any]) -> CodeError:
        line = error.get("line")
        return CodeError(
            type=str(error.get("type"))[:200],
            message=str(self._clean(str(error.get("message")))),
            line=line if isinstance(line, int) else None,
        )

    def _optional_text(self, value: Any) -> str | None:
        return None if value is None else str(self._clean(str(value)))


def _status(value: Any) -> Status:
    known: dict[Any, Status] = {"error": "error", "memory": "memory", "disk": "disk", "ok": "ok"}
    if value not in known:
        raise BadFrame("unknown status")
    return known[value]
