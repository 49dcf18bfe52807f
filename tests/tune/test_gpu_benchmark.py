"""The tiny form of the GPU benchmark runs, and tells what the large one would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sport

ROOT = Path(sport.__file__).parents[2]


@pytest.mark.slow
def test_the_tiny_form_runs() -> None:
    pytest.importorskip("trl")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "benchmarks/tree_dpo_gpu.py", "--tiny", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["tree-gc"]["tokens"] < found["trl-b1-gc"]["tokens"]
    for arm in ("tree-gc", "trl-b1-gc"):
        assert min(found[arm].values()) > 0
