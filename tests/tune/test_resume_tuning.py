"""A tuning that is killed at any step goes on, and ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from kill_and_resume import STEPS, tune
from safetensors.torch import load_file

import sport
from sport.types import without_timing

HERE = Path(__file__).parent
MACHINE = {"tokens_per_s", "peak_mb"}


def killed(folder: Path, out: Path, kind: str, dtype: str, step: int) -> None:
    """Runs the tuning in a process that kills itself."""
    paths = [str(HERE), str(Path(sport.__file__).parents[1])]
    command = [sys.executable, str(HERE / "kill_and_resume.py"), str(folder), str(out)]
    done = subprocess.run(
        [*command, kind, dtype, str(step)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def curve(out: Path) -> list[Any]:
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    return [{k: v for k, v in without_timing(row).items() if k not in MACHINE} for row in rows]


def assert_equal(found: Path, expected: Path, dtype: str) -> None:
    mine, its = weights(found), weights(expected)
    assert mine.keys() == its.keys()
    for name, tensor in its.items():
        if dtype == "float64":
            assert torch.equal(mine[name], tensor), name
        else:
            torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-9)


def check(tmp_path: Path, kind: str, dtype: str, *steps: int) -> None:
    folder = tmp_path / "blobs"
    unbroken = tune(folder, tmp_path / "unbroken" / "r1", kind, dtype)
    for step in steps:
        broken = tmp_path / f"killed-{step}" / "r1"
        killed(folder, broken, kind, dtype, step)
        assert_equal(tune(folder, broken, kind, dtype), unbroken, dtype)
        assert curve(broken) == curve(unbroken)
        assert [row["step"] for row in curve(broken) if "step" in row] == list(range(1, STEPS + 1))
        left = {p.name for p in broken.parent.iterdir()}
        assert left <= {"r1", "r1.jsonl", "references.jsonl"}, "nothing half-written"


def test_killed_in_mid_epoch(tmp_path: Path) -> None:
    check(tmp_path, "dpo", "float64", 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtype", "times"),
    [("dpo", "float64", 5), ("dpo", "float32", 5), ("sft", "float32", 1)],
)
def test_killed_at_any_step(tmp_path: Path, kind: str, dtype: str, times: int) -> None:
    steps = random.Random(f"{kind}/{dtype}").sample(range(1, STEPS + 1), times)
    check(tmp_path, kind, dtype, *steps)


def test_another_tunings_checkpoint_is_ignored(tmp_path: Path) -> None:
    folder, out = tmp_path / "blobs", tmp_path / "r1"
    killed(folder, out, "sft", "float32", 5)
    expected = tune(folder, tmp_path / "other" / "r1", "dpo", "float32")
    assert_equal(tune(folder, out, "dpo", "float32"), expected, "float64")
