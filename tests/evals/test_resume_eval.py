"""Killed at any moment, an evaluation goes on by the same command and ends with the same file."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sport.store import Run
from sport.types import without_timing

HERE = Path(__file__).parent
POLICY = """
import asyncio
from sport.policy.scripted import ScriptedPolicy, action


class Slow(ScriptedPolicy):
    async def sample(self, requests):
        await asyncio.sleep(0.2)
        return await super().sample(requests)


policy = Slow([action('print(1)'), action('final_answer(12)')], name="slow")
"""


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "sport", "eval", "pocket", "--policy", f"{folder / 'slow.py'}:policy",
        "--limit", "9", "-o", "evaluation.test=9", "-o", "evaluation.group=2", "--out", str(out),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output


def result(out: Path) -> object:
    run = Run.open(out)
    file = run.evaluation_file(0, "test")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    scores = file.with_suffix(".scores.jsonl").read_text()
    return without_timing({"rows": run.metrics(), "trajectories": rows}), scores


def test_a_killed_evaluation_ends_with_the_same_result_file(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(POLICY)
    finish(start(tmp_path, tmp_path / "whole"))
    rng, out, kills = random.Random(3), tmp_path / "killed", 0
    file = out / "rounds/0/eval-test.jsonl"
    for wanted in (2, 4):
        process = start(tmp_path, out)
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and process.poll() is None:
            if file.is_file() and file.read_bytes().count(b"\n") >= wanted:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate(timeout=30)
    finish(start(tmp_path, out))
    assert kills == 2, "both kills hit an evaluation under way"
    assert result(out) == result(tmp_path / "whole")
    assert len(Run.open(out).metrics()) == 1
