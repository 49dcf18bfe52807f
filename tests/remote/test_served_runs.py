"""Runs that start their own controller and verifier: used, and gone with the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remote.test_child import free_port, gone
from sport.store import Run

PLAYED = str(Path(__file__).with_name("played_server.py"))
TASKS = 12
RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = {tasks}
[explore]
max_steps = 3
[policy]
kind = "chat"
model = "pocket"
[policy.server]
url = "http://127.0.0.1:{first}/v1"
model = "controller"
concurrency = 2
[policy.serve]
command = [{python!r}, "-S", {played!r}, "controller", "--port", "{{port}}", "--latency={latency}"]
[verifier]
kind = "llm"
[verifier.server]
url = "http://127.0.0.1:{second}/v1"
model = "judge"
[verifier.serve]
command = [{python!r}, "-S", {played!r}, "verifier", "--port", "{{port}}"]
"""
ROLES = ("policy", "verifier")


def explore(folder: Path, latency: float = 0.0) -> subprocess.Popen[str]:
    file = folder / "served.toml"
    if not file.exists():
        text = RECIPE.format(
            tasks=TASKS, first=free_port(), second=free_port(), python=sys.executable,
            played=PLAYED, latency=latency,
        )  # fmt: skip
        file.write_text(text)
    command = [sys.executable, "-m", "sport", "explore", str(file), "--out", str(folder / "run")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def log(folder: Path, role: str) -> str:
    return (folder / "run" / f"server-{role}.log").read_text()


def pids(folder: Path) -> list[int]:
    return [int(line.split()[1]) for role in ROLES for line in log(folder, role).splitlines()
            if line.startswith("pid")]  # fmt: skip


def test_both_are_asked_and_gone_with_the_run(tmp_path: Path) -> None:
    run = explore(tmp_path)
    told, _ = run.communicate(timeout=120)
    assert run.returncode == 0, told
    found = list(Run.open(tmp_path / "run").trajectories(1))
    steps = sum(len(t.steps) for t in found)
    assert len(found) == TASKS and {t.verifier for t in found} == {"llm:judge"}
    assert all(s.verdict.best is not None for t in found for s in t.steps)
    assert log(tmp_path, "verifier").count("asked") == steps
    assert log(tmp_path, "policy").count("asked") >= steps
    assert len(pids(tmp_path)) == 2 and all(gone(pid) for pid in pids(tmp_path))


@pytest.mark.timeout(240)
def test_ctrl_c_ends_both_and_the_same_command_goes_on(tmp_path: Path) -> None:
    run = explore(tmp_path, latency=0.3)
    lines = tmp_path / "run" / "trajectories.jsonl"
    ends = time.monotonic() + 120
    while not (lines.is_file() and lines.read_bytes().count(b"\n")):
        assert run.poll() is None and time.monotonic() < ends
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert run.returncode not in (0, -signal.SIGINT) and "sport explore" in told, told
    assert len(pids(tmp_path)) == 2 and all(gone(pid) for pid in pids(tmp_path))
    before = [t.task.id for t in Run.open(tmp_path / "run").trajectories(1)]
    assert 0 < len(before) < TASKS

    again = explore(tmp_path)
    told, _ = again.communicate(timeout=120)
    assert again.returncode == 0, told
    done = [t.task.id for t in Run.open(tmp_path / "run").trajectories(1)]
    assert sorted(done) == sorted({*done}) and len(done) == TASKS
    assert set(before) <= set(done)
    assert all(gone(pid) for pid in pids(tmp_path))
