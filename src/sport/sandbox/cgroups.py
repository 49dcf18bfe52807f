"""Control groups (version 2): the kernel's own bound on a whole candidate, where they can be had.

They bound memory and processes without overshoot. What they cannot tell, such as the processor
time of a tree, the disk, or the wall time, the watcher does in any case.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from pathlib import Path

from sport.sandbox.base import Limits

PREFIX = "sport-"
SLACK = 8
"""Processes beyond the limit that the kernel lets start: the watcher ends the candidate and says
why, where the kernel would only refuse the next one."""

_CONTROLLERS = {"memory", "pids"}
_CLOSING_S = 2.0


class NoGroups(Exception):
    """There is no control group that this process may divide; says why."""


class ControlGroups:
    """The groups of one sandbox, one a candidate.

    Args:
        home: A group that this process may divide: its ``subtree_control`` has the controllers.

    Raises:
        NoGroups: The kernel refuses.
    """

    def __init__(self, home: Path) -> None:
        """Makes a group for the sandbox, and tries one out."""
        self.path = home / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._lingering: list[Path] = []
        try:
            self.path.mkdir()
            _write(self.path / "cgroup.subtree_control", "+memory +pids")
            self._try()
        except OSError as error:
            self.close()
            raise NoGroups(f"{home}: {error.strerror}") from error

    def _try(self) -> None:
        group = self.make("trial", Limits())
        trial = subprocess.Popen(["/bin/sleep", "60"])
        try:
            group.add(trial.pid)
        finally:
            trial.kill()
            trial.wait()
            group.end()

    def make(self, name: str, limits: Limits) -> Group:
        """A group for one candidate.

        Its workspace may lie in memory, which counts as the group's: hence the room for it. What
        it shares with the world that it was forked from is that world's.
        """
        group = Group(self, self.path / name)
        group.path.mkdir()
        _write(group.path / "memory.max", str((limits.memory_mb + limits.disk_mb) << 20))
        _write(group.path / "memory.oom.group", "1")
        _write(group.path / "pids.max", str(limits.processes + SLACK))
        with contextlib.suppress(OSError):  # absent in kernels without swap
            _write(group.path / "memory.swap.max", "0")
        return group

    def remove(self, path: Path) -> None:
        """Removes a group as soon as its processes are gone."""
        self._lingering = [p for p in (*self._lingering, path) if not _removed(p)]

    def close(self) -> None:
        """Removes all groups; their processes are dead or dying."""
        deadline = time.monotonic() + _CLOSING_S
        while self.path.exists() and time.monotonic() < deadline:
            for path in (*self.path.glob("*/"), self.path):
                _removed(path)
            time.sleep(0.005)


class Group:
    """One candidate's control group."""

    def __init__(self, family: ControlGroups, path: Path) -> None:
        """There may be none yet at ``path``."""
        self._family = family
        self.path = path

    def add(self, pid: int) -> None:
        """Moves a process in; what it forks is in it from the start."""
        _write(self.path / "cgroup.procs", str(pid))

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended it for its use of memory."""
        with contextlib.suppress(OSError):
            events = dict(line.split() for line in _lines(self.path / "memory.events"))
            return events.get("oom_kill", "0") != "0"
        return False

    def end(self) -> None:
        """Kills what is in it, and removes it."""
        with contextlib.suppress(OSError):
            _write(self.path / "cgroup.kill", "1")
        self._family.remove(self.path)


def open_groups(mount: Path = Path("/sys/fs/cgroup")) -> ControlGroups:
    """Groups below the nearest group around this process that it may divide.

    Args:
        mount: Where version 2 is mounted.

    Raises:
        NoGroups: There is none.
    """
    if not (mount / "cgroup.controllers").exists():
        raise NoGroups("no cgroup v2 at /sys/fs/cgroup")
    own = next((li[3:] for li in _lines(Path("/proc/self/cgroup")) if li.startswith("0::")), "/")
    here = mount / own.lstrip("/")
    for home in (here, *here.parents):
        if home != mount and mount not in home.parents:
            break
        _sweep(home)
        if _divisible(home):
            return ControlGroups(home)
    raise NoGroups("no writable group with the controllers memory and pids")


def _divisible(home: Path) -> bool:
    try:
        given = {word for line in _lines(home / "cgroup.subtree_control") for word in line.split()}
    except OSError:
        return False
    writable = os.access(home, os.W_OK) and os.access(home / "cgroup.procs", os.W_OK)
    return given >= _CONTROLLERS and writable


def _sweep(home: Path) -> None:
    """Removes groups of sandboxes whose host was killed."""
    for left in home.glob(f"{PREFIX}*-*/"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            for path in (*left.glob("*/"), left):
                _removed(path)


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
