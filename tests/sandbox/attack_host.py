"""The host that an attack is made from: a process of root's or of an ordinary user's.

It reads a job from standard input, runs each attack beside an honest sibling, and writes what
became of it to standard output. Mode ``bare`` is the control: a plain interpreter, no sandbox.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil
from attack import PROBE

from sport.sandbox import ForkSandbox, Limits

PR_SET_CHILD_SUBREAPER = 36
HONEST = "'honest'"
PATIENT = "import time\ntime.sleep(0.5)\n'honest'"


def echo(text: str) -> str:
    """Says it again."""
    return text


def held() -> int:
    """Processes below this one, and descriptors that it has open."""
    return len(psutil.Process().children(recursive=True)) + len(os.listdir("/proc/self/fd"))


async def attacked(sandbox: ForkSandbox, code: str) -> dict[str, Any]:
    before = held()
    base = await sandbox.open()
    sibling = PATIENT if "# beside" in code else HONEST
    outcome, honest = await sandbox.run(base, [code, sibling])
    [later] = await sandbox.run(base, [PROBE])
    winner = await sandbox.commit(honest)
    [after] = await sandbox.run(winner, [PROBE])
    await sandbox.discard(winner)
    fresh = await sandbox.open()
    [elsewhere] = await sandbox.run(fresh, [PROBE])
    await sandbox.discard(fresh)
    deadline = time.monotonic() + 2
    while (left := held() - before) > 0 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return {
        "outcome": outcome.model_dump(mode="json"),
        "honest": honest.model_dump(mode="json"),
        "probes": [o.value for o in (later, after, elsewhere)],
        "left": max(left, 0),
    }


async def in_sandbox(job: dict[str, Any]) -> dict[str, Any]:
    limits = Limits(wall_s=4, cpu_s=1, memory_mb=256, disk_mb=16, processes=16)
    results = {}
    async with ForkSandbox({"echo": echo}, limits, tier=job["mode"]) as sandbox:
        warm = await sandbox.open()
        await sandbox.run(warm, ["1"])
        await sandbox.discard(warm)
        for name, code in job["codes"].items():
            results[name] = await attacked(sandbox, code)
    return results


def bare(code: str, folder: str) -> dict[str, Any]:
    """The attack in a plain interpreter; afterwards the same interpreter is probed."""
    before = held()
    script = f"import sys\nexec({code!r}, {{}})\nsys.stdout.flush()\nprint({PROBE})"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        cwd=folder,
        close_fds=False,
        timeout=60,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    lines = run.stdout.strip().splitlines()
    outcome = {"stdout": run.stdout, "status": str(run.returncode), "error": run.stderr[-500:]}
    left = held() - before
    for outliving in psutil.Process().children(recursive=True):
        outliving.kill()
        outliving.wait()
    return {"outcome": outcome, "probes": lines[-1:], "left": left, "honest": {"files": []}}


def main() -> None:
    """Does the job."""
    job = json.load(sys.stdin)
    with open(job["inherited"]) as inherited:
        os.set_inheritable(inherited.fileno(), True)
        codes = {n: c.replace("$host", str(os.getpid())) for n, c in job["codes"].items()}
        if job["mode"] == "bare":
            # What outlives the interpreter comes back to this process.
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            with tempfile.TemporaryDirectory() as folder:
                results = {n: bare(c, tempfile.mkdtemp(dir=folder)) for n, c in codes.items()}
        else:
            results = asyncio.run(in_sandbox({**job, "codes": codes}))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
