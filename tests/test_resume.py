"""Killed at any moment, a run goes on by the same command and ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import by_heart
from sport.store import Run
from sport.types import without_timing

RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = 8
[policy]
model = "{model}"
threads = 1
[sampling]
temperatures = [0.7, 1.2, 1.2]
max_new_tokens = 48
[explore]
max_steps = 3
max_errors = 2
group = 3
[evaluation]
test = 4
dev = 2
controls = []
group = 4
[[tune]]
kind = "dpo"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    file = folder / "tiny.toml"
    file.write_text(RECIPE.format(model=by_heart.save_model(folder / "model")))
    return file


def start(recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sport", "run", str(recipe), "--out", str(out), *more]
    # What is started in the background, as these tests may be, ignores SIGINT, and its children do.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heeding
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


def records(run: Path) -> object:
    """All trajectories of a run, and its metrics, without what may differ."""
    opened = Run.open(run)
    return without_timing(
        {
            "explored": [t.model_dump(mode="json") for t in opened.trajectories()],
            "evaluated": [
                t.model_dump(mode="json") for k in (0, 1) for t in opened.evaluation(k, "test")
            ],
            "metrics": opened.metrics(),
        }
    )


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody disturbed, and how long it took."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    started = time.monotonic()
    finish(start(recipe, out))
    return out, time.monotonic() - started


def kills(count: int, seed: int) -> Iterator[float]:
    """Seeded moments, as shares of an undisturbed run."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.uniform(0.2, 0.95)


def killed_again_and_again(
    recipe: Path, undisturbed: tuple[Path, float], out: Path, count: int, seed: int
) -> None:
    reference, seconds = undisturbed
    for share in kills(count, seed):
        process = start(recipe, out)
        try:
            process.communicate(timeout=share * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
    finish(start(recipe, out))
    assert records(out) == records(reference)
    ids = [t.task.id for t in Run.open(out).trajectories()]
    assert len(ids) == len(set(ids)) == 8, "no task is lost or doubled"


def test_killed_at_three_moments(
    recipe: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    killed_again_and_again(recipe, undisturbed, tmp_path / "run", 3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_twenty_moments(
    recipe: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    for part in range(4):
        killed_again_and_again(recipe, undisturbed, tmp_path / f"run{part}", 5, seed=2 + part)


def test_another_seed_gives_another_run(
    recipe: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    finish(start(recipe, other, "-o", "seed=1", "-o", "rounds=0"))
    with (undisturbed[0] / "rounds/0/eval-test.jsonl").open() as file:
        before = [json.loads(line)["seed"] for line in file]
    with (other / "rounds/0/eval-test.jsonl").open() as file:
        assert [json.loads(line)["seed"] for line in file] != before
    tasks = subprocess.run(
        [sys.executable, "-m", "sport", "synth", str(recipe), "--out", str(other),
         "-o", "seed=1", "-o", "rounds=0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert tasks.returncode == 0, tasks.stderr
    mine = {t.query for t in Run.open(undisturbed[0]).tasks()}
    assert {t.query for t in Run.open(other).tasks()} != mine


def test_ctrl_c_abandons_the_group_and_says_how_to_go_on(
    recipe: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(recipe, out)
    log = out / "run.log"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        log.is_file() and "exploring: started" in log.read_text()
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"go on with: sport run {recipe} --out {out}" in " ".join(output.split())
    assert "Traceback" not in output
    finish(start(recipe, out))
    assert records(out) == records(undisturbed[0])


def test_a_full_disk_stops_with_one_message_and_loses_nothing(
    recipe: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=450k", "sport-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        process = start(recipe, disk / "run")
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 1, output
        assert "the disk is full. Free some space" in " ".join(output.split())
        assert "Traceback" not in output
        larger = ["mount", "-o", "remount,size=64m", str(disk)]
        subprocess.run(larger, check=True, capture_output=True)
        finish(start(recipe, disk / "run"))
        assert records(disk / "run") == records(undisturbed[0])
    finally:
        subprocess.run(["umount", str(disk)], check=True)
