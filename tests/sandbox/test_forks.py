"""Bursts of processes and threads: however fast, they pass the limit by 8 at most.

Every burst makes 300 processes at most, which end by themselves within two seconds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from users import USERS, environment, identity, interpreter, uid_of

from sport.sandbox import ForkSandbox, Limits
from sport.sandbox.forks import SLACK
from sport.sandbox.syscalls import ARCHITECTURES, CLONE

HERE = Path(__file__).parent
LIMIT = 16
TOLD = ("died", ["The code made more than 16 processes and threads."])
COLUMN = ARCHITECTURES.get(platform.machine(), (0, 0))[0]
EXIT_THREAD = (60, 93)[COLUMN]

FORK = """
import ctypes, os, threading, time

def fork():
    try:
        return os.fork()
    except OSError:
        return -1

def linger():
    time.sleep(1)
    os._exit(0)

def thread(work):
    try:
        threading.Thread(target=work, daemon=True).start()
    except RuntimeError:
        pass
"""
BURSTS = {
    "one process forks": "for _ in range(200):\n    if fork() == 0: linger()\nlinger()",
    "every process forks": "for _ in range(8): fork()\nlinger()",
    "it ends by itself": "for _ in range(60):\n    if fork() == 0: os._exit(0)\n'done'",
    "threads": "for _ in range(200): thread(linger)\nlinger()",
    "threads that fork": """
def work():
    for _ in range(20):
        if fork() == 0: linger()
for _ in range(10): thread(work)
linger()""",
    "the call by number": f"""
libc = ctypes.CDLL(None)
for _ in range(200):
    if libc.syscall({CLONE[COLUMN]}, 17, 0, 0, 0, 0) == 0: linger()
linger()""",
    "processes whose first thread ended": f"""
def threads():
    for _ in range(40): thread(linger)
    linger()
for _ in range(5):
    if fork() == 0:
        thread(threads)
        ctypes.CDLL(None).syscall({EXIT_THREAD}, 0)
linger()""",
}
ORPHANS = """
candidate = os.getpid()
if fork() != 0: os._exit(0)
while os.getppid() == candidate: pass
for _ in range(8): fork()
linger()"""
"""The candidate itself has ended when they are made."""

PATCHED = """
import gc, os, time
[world] = [o for o in gc.get_objects() if type(o).__name__ == 'World']
fork = world._fork
def more():
    try:
        for _ in range(100):
            if fork() == 0:
                time.sleep(1)
                os._exit(0)
    except OSError:
        pass
    return fork()
world._fork = more"""
"""A winner whose world forks more than the candidates that it is asked for."""


class Host:
    """Another process, some user's, with a sandbox of a tier; see ``burst_host.py``."""

    def __init__(self, uid: int, tier: str, code: str, first: str = "1") -> None:
        """Returns once its world is there."""
        self._process = subprocess.Popen(
            [*interpreter(uid), str(HERE / "burst_host.py"), tier, str(LIMIT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
            env=environment(), **identity(uid))  # fmt: skip
        self._say(json.dumps({"code": code, "first": first}))
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _below(self) -> int:
        """Processes and threads of the sandbox, counted from outside."""
        count = 0
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                count += process.num_threads()
            except psutil.NoSuchProcess:
                pass
        return count

    def burst(self) -> tuple[int, list[dict[str, Any]]]:
        """The highest number of processes beyond those before; outcomes of all candidates."""
        before = highest = self._below()
        self._say("go")
        while self._process.poll() is None:
            try:
                highest = max(highest, self._below())
            except psutil.NoSuchProcess:
                break
        out, _ = self._process.communicate(timeout=30)
        assert self._process.returncode == 0
        return highest - before, json.loads(out)


def check(uid: int, tier: str, code: str) -> dict[str, Any]:
    """Runs a burst; its outcome, if all was bounded and nobody else was harmed."""
    height, (burst, honest, later) = Host(uid, tier, code).burst()
    siblings = 1
    assert height <= LIMIT + SLACK + siblings, burst
    assert (honest["value"], later["value"]) == ("'honest'", "'later'")
    return burst


@pytest.mark.attack
@pytest.mark.parametrize("kind", BURSTS)
@pytest.mark.parametrize("tier", ["strong", "standard"])
@pytest.mark.parametrize("user", USERS)
def test_a_burst_is_bounded_and_told(user: str, tier: str, kind: str) -> None:
    burst = check(uid_of(user), tier, FORK + BURSTS[kind])
    assert (burst["status"], burst["notes"]) == TOLD


@pytest.mark.parametrize("tier", ["strong", "standard"])
@pytest.mark.parametrize("kind", ["every process forks", "it ends by itself", "threads"])
def test_everyday_bursts(tier: str, kind: str) -> None:
    burst = check(os.geteuid(), tier, FORK + BURSTS[kind])
    assert (burst["status"], burst["notes"]) == TOLD


@pytest.mark.parametrize("tier", ["strong", "standard"])
def test_what_a_candidate_leaves_cannot_burst(tier: str) -> None:
    assert check(os.geteuid(), tier, FORK + ORPHANS)["status"] == "died"


@pytest.mark.parametrize("tier", ["strong", "standard"])
def test_a_world_forks_the_candidates_that_it_is_asked_for(tier: str) -> None:
    height, _ = Host(os.geteuid(), tier, "'code'", PATCHED).burst()
    assert height <= 2 + SLACK


@pytest.mark.parametrize("tier", ["strong", "standard"])
async def test_as_many_as_the_limit_says_may_be_there(tier: str) -> None:
    code = FORK + "me = os.getpid()\n[fork() for _ in range(15) if os.getpid() == me or linger()]"
    async with ForkSandbox(limits=Limits(processes=LIMIT), tier=tier) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [code])
        assert outcome.status == "ok", outcome
        assert "-1" not in str(outcome.value)
        assert "a gate on forks" in sandbox.tier_details["limits"]


async def test_without_walls_there_is_no_gate_which_is_told() -> None:
    async with ForkSandbox(tier="unsafe_local") as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, ["import os\nos.waitpid(os.fork() or os._exit(0), 0)"])
        assert outcome.status == "ok", outcome
        limits = sandbox.tier_details["limits"]
        assert limits.startswith("no gate on forks (not without walls), rlimits"), limits


async def test_processes_one_after_another_are_not_too_many() -> None:
    code = FORK + "for _ in range(100):\n    pid = fork()\n    if pid == 0: os._exit(0)\n"
    code += "    os.waitpid(pid, 0)\n'all'"
    async with ForkSandbox(limits=Limits(processes=4)) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [code])
        assert (outcome.status, outcome.value) == ("ok", "'all'"), outcome
