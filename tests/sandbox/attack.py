"""What an attack is, and how its effect outside shows.

An attack is code of a candidate. It aims at a :class:`Target`: things that the test made for it
alone, so that a wall that fails costs nothing and tells which attack went through it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from subprocess import Popen
from typing import Any

CLEAN = "(1, '[1]', 6, False, False, False, [])"
"""What :data:`PROBE` tells in a world that nobody meddled with."""

PROBE = (
    "(len([0]), __import__('json').dumps([1]), sum([1, 2, 3]), "
    "hasattr(__import__('builtins'), 'poison'), 'poison' in __import__('sys').modules, "
    "'poison' in __import__('os').environ, __import__('os').listdir('.'))"
)

Result = dict[str, Any]
"""What became of an attack: ``outcome``, ``honest`` (the sibling's), ``probes``, ``left``."""


@dataclass
class Target:
    """What one attack aims at.

    Attributes:
        name: The attack's.
        folder: A folder with a file ``canary`` of mode 0666; all may write there.
        secret: The file's content; unlike any other.
        victim: A process that waits, with ``secret`` in its environment.
        stamp: The file's as it was made.
        received: What all servers of the test were sent.
    """

    name: str
    folder: Path
    secret: str
    victim: Popen[bytes] | None = None
    stamp: tuple[int, ...] = ()
    received: set[str] = field(default_factory=set)

    @property
    def canary(self) -> Path:
        """The file."""
        return self.folder / "canary"

    def look(self) -> tuple[int, ...]:
        """What any change of the file would change; reading it changes none of this."""
        status = self.canary.stat()
        return (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns)


Effect = Callable[[Target, Result], bool]


def leaked(target: Target, result: Result) -> bool:
    """The candidate told what it must not know."""
    return target.secret in json.dumps(result)


def changed(target: Target, result: Result) -> bool:
    """The folder outside is not as it was."""
    if sorted(os.listdir(target.folder)) != ["canary"]:
        return True
    return target.look() != target.stamp or target.canary.read_text() != target.secret


def reached(target: Target, result: Result) -> bool:
    """A server on this machine heard from it."""
    return target.name in target.received


def harmed(target: Target, result: Result) -> bool:
    """The process outside has ended, or is nicer than it was."""
    assert target.victim is not None
    return target.victim.poll() is not None


def worked(target: Target, result: Result) -> bool:
    """The candidate did what it says it did: it holds a thing of the kernel's, or went on."""
    return "WORKED" in str(result["outcome"]["stdout"])


def became_root(target: Target, result: Result) -> bool:
    """A program that it started is root."""
    return str(result["outcome"]["stdout"]).strip() == "0"


def poisoned(target: Target, result: Result) -> bool:
    """Another world is not as clean as a fresh one."""
    return any(probe != CLEAN for probe in result["probes"])


def meddled(target: Target, result: Result) -> bool:
    """A sibling's folder was written to."""
    return bool(result["honest"]["files"])


def flooded(target: Target, result: Result) -> bool:
    """More was taken in than is kept."""
    return len(result["outcome"]["stdout"]) > 10_000


def outlived(target: Target, result: Result) -> bool:
    """A process of the candidate's is there after its world has ended."""
    return bool(result["left"])


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        code: A template: ``$canary``, ``$folder``, ``$victim`` (a process), ``$host`` (the
            process of the sandbox), ``$port``, ``$udp``, ``$unix``, ``$name``.
        effect: Whether it worked, looked at from outside.
        control: Who succeeds in a bare interpreter: ``any``, ``root`` or ``user``; or
            ``unsafe_local``, any without walls, where the attack needs a sandbox; or a sentence
            that says why there is no control.
        victim: Whether it needs a process to aim at.
        status: How the candidate must end; any way if empty.
    """

    code: str
    effect: Effect
    control: str = "any"
    victim: bool = False
    status: str = ""

    def aimed(self, target: Target, places: dict[str, Any]) -> str:
        """The code, aimed at a target; ``$host`` is left to the host."""
        victim = target.victim.pid if target.victim else 0
        known = {"canary": target.canary, "folder": target.folder, "name": target.name}
        return Template(self.code).safe_substitute(known, victim=victim, **places)
