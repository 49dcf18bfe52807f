"""Several processes tune as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from two_workers import tune

import sport
from sport.tune.workers import Workers

HERE = Path(__file__).parent
ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


# With --cpu, Accelerate starts one process, whatever --num_processes says.
WHOLE, SHARDED = ["--multi_gpu"], ["--use_fsdp", "--fsdp_version", "2"]
WAYS = pytest.mark.parametrize("way", [WHOLE, SHARDED], ids=["whole", "sharded"])


def launch(folder: Path, out: Path, way: list[str]) -> None:
    paths = [str(HERE), str(Path(sport.__file__).parents[1])]
    options = [*way, "--num_processes", "2", "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    done = subprocess.run(
        [*command, str(HERE / "two_workers.py"), str(folder), str(out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), **ALONE},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(done.stdout.split()) == ["0/2", "1/2"]


def rows(out: Path) -> list[dict[str, Any]]:
    found = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    return [row for row in found if "step" in row]


@pytest.mark.slow
@WAYS
def test_two_processes_equal_one(tmp_path: Path, way: list[str]) -> None:
    one = tune(tmp_path / "blobs", tmp_path / "one" / "r1")
    two = tmp_path / "two" / "r1"
    two.parent.mkdir()
    launch(tmp_path / "blobs", two, way)
    assert len(rows(two)) == len(rows(one)), "one process writes"
    for mine, its in zip(rows(two), rows(one), strict=True):
        for key in ("loss", "grad_norm", "margin", "accuracy", "chosen_drift", "pairs", "tokens"):
            assert mine[key] == pytest.approx(its[key], rel=1e-9, abs=1e-12), key
    expected = load_file(one / "adapter_model.safetensors")
    found = load_file(two / "adapter_model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-9)


def test_shares_are_disjoint_complete_and_about_equal() -> None:
    sizes = [50, 10, 40, 30, 20, 5, 45]
    shares = []
    for rank in range(3):
        workers = Workers()
        workers.rank, workers.count = rank, 3
        shares.append(workers.share(list(range(7)), sizes))
    assert sorted(i for share in shares for i in share) == list(range(7))
    loads = [sum(sizes[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= 20
