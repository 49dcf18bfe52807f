"""The worker: a small process that forks worlds, and the worlds, which fork one child a candidate.

It is started by exec in a clean environment. The first process, the *nursery*, never runs
candidates' code: it forks fresh worlds, adopts orphans, and when the host is gone ends everything
and removes the folders. Standard library only, so that it stays small: forking costs by size.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from sport.sandbox.frames import Channel
from sport.sandbox.processes import end_descendants
from sport.sandbox.syscalls import build_filter, build_gate
from sport.sandbox.walls import (
    Landlock,
    adopt_orphans,
    drop_capabilities,
    landlock_abi,
    limit_resources,
    seccomp,
    seccomp_listener,
    small_pages,
)
from sport.sandbox.world import World

CHANNEL_FD = 3


def main() -> NoReturn:
    """Serves the host, which is at the other end of standard input."""
    os.dup2(0, CHANNEL_FD, inheritable=False)
    channel = Channel(socket.socket(fileno=CHANNEL_FD))
    config, _ = channel.receive()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.closerange(CHANNEL_FD + 1, 256)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    small_pages()
    _preload(config["preload"])
    nursery = _Nursery(config, channel)
    nursery.announce()
    os.dup2(0, 2)
    _tidy()
    nursery.serve()


def _preload(names: list[str]) -> None:
    """Imports what candidates use most.

    ``random`` would draw a new seed in every forked process; each candidate gets one anyway.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    importlib.import_module("random")
    os.register_at_fork = register
    for name in ("collections", "itertools", "json", "math", "re", *names):
        importlib.import_module(name)


def _tidy() -> None:
    """What candidates are not to see, and what forking must not copy."""
    for name in [n for n in sys.modules if n == "sport" or n.startswith("sport.sandbox")]:
        del sys.modules[name]
    sys.argv, sys.orig_argv = [""], []
    sys.path.append("")
    gc.collect()
    gc.freeze()


class _Nursery:
    """Forks fresh worlds."""

    def __init__(self, config: dict[str, Any], channel: Channel) -> None:
        self._config = config
        self.channel = channel
        self._landlock: Landlock | None = None
        self._filter = b""
        if config["walls"]:
            self._landlock = Landlock(config["read_only"], config["devices"])
            self._filter = build_filter(self._landlock.abi)

    def announce(self) -> None:
        """Tells the host whether all is well; it gets the descriptor of the gate on forks."""
        answer = {"kind": "ready", "problem": self._problem(), "gate": "not without walls"}
        fds = []
        if self._config["walls"] and not answer["problem"]:
            try:
                fds.append(seccomp_listener(build_gate()))
                answer["gate"] = ""
            except OSError as error:
                answer["gate"] = str(error.strerror)
        self.channel.send(answer, fds)
        for fd in fds:
            os.close(fd)  # else a fork would wait for a host that is gone

    def _problem(self) -> str:
        """Why the walls do not stand; empty if they do. Tried in a child, since they last."""
        if not self._config["walls"]:
            return ""
        if landlock_abi() < 1:
            return "this kernel has no Landlock (Linux 5.13 or newer, with lsm=landlock)"
        here, there = os.pipe()
        if os.fork() == 0:
            _report(there, self._try_walls)
        os.close(there)
        with os.fdopen(here, "rb") as pipe:
            return pipe.read().decode()

    def _try_walls(self) -> str:
        canary = os.path.join(self._config["root"], "canary")
        self._raise_walls()
        assert self._landlock is not None
        self._landlock.restrict([])
        attacks: tuple[tuple[Callable[[], None], str], ...] = (
            (lambda: os.close(os.open(canary, os.O_RDONLY)), "reading outside is possible"),
            (lambda: socket.socket().close(), "the network can be reached"),
            (lambda: os.close(os.open("/proc/1/environ", os.O_RDONLY)), "/proc can be read"),
        )
        for attack, what in attacks:
            try:
                attack()
            except PermissionError:
                continue
            except OSError as error:
                return f"{what.split(' ')[0]} failed for another reason: {error}"
            return what
        return ""

    def serve(self) -> NoReturn:
        """Forks a world for every descriptor that comes, until the host is gone."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
        while True:
            try:
                _, fds = self.channel.receive()
            except (EOFError, OSError):
                self._end()
            if _fork() == 0:
                self._world(fds[0])
            for fd in fds:
                os.close(fd)

    def _world(self, channel: int) -> NoReturn:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(channel, CHANNEL_FD, inheritable=False)
        os.close(channel)
        adopt_orphans()
        self._raise_walls()
        # Built-ins of its own: what the code does to them reaches neither us nor the library.
        own = types.ModuleType("builtins")
        own.__dict__.update(builtins.__dict__)
        main_module = types.ModuleType("__main__")
        main_module.__dict__["__builtins__"] = own
        sys.modules["builtins"], sys.modules["__main__"] = own, main_module
        World(self._config, self.channel, self._landlock, main_module.__dict__).serve()

    def _raise_walls(self) -> None:
        limits = self._config["limits"]
        limit_resources(limits["memory_mb"], limits["cpu_s"], limits["disk_mb"])
        if self._config["walls"]:
            drop_capabilities()
            seccomp(self._filter)

    def _end(self) -> NoReturn:
        """The host is gone: nothing of ours is to stay."""
        if os.getpid() == 1:
            os.kill(-1, signal.SIGKILL)
        else:
            end_descendants(os.getpid())
        import shutil  # not before: it would be part of every fork

        sys.setrecursionlimit(1_000_000)  # candidates may have nested folders deeply
        shutil.rmtree(self._config["root"], ignore_errors=True)
        if self._config["groups"]:
            for folder, _, _ in os.walk(self._config["groups"], topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        os._exit(0)


def _fork() -> int:
    """As ``os.fork``, but -1 if it fails: the world's channel closes, which tells the host."""
    try:
        return os.fork()
    except OSError:
        return -1


def _report(pipe: int, attempt: Any) -> NoReturn:
    try:
        text = attempt()
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
    os.write(pipe, text.encode())
    os._exit(0)
