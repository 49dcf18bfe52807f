"""The single stages: on a run's folder as on its recipe, and by several processes together."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

import by_heart
import sport
from sport.cli import app
from sport.store import Run

RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = 6
[policy]
model = "{model}"
threads = 1
[sampling]
temperatures = [0.7, 1.2, 1.2]
max_new_tokens = 48
[explore]
max_steps = 2
[evaluation]
test = 4
dev = 2
[[tune]]
kind = "sft"
[[tune]]
kind = "dpo"
epochs = 2
batch_pairs = 4
token_budget = 1024
"""


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def done(*arguments: str | Path) -> str:
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def failure(*arguments: str | Path) -> str:
    result = command(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has been explored; not to be changed."""
    folder = tmp_path_factory.mktemp("stages")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE.format(model=by_heart.save_model(folder / "model")))
    done("explore", recipe, "--out", folder / "run")
    return folder / "run"


@pytest.fixture
def run(explored: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(explored, tmp_path / "run"))


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def test_a_folder_does_for_its_recipe(explored: Path, run: Path, tmp_path: Path) -> None:
    by_recipe = Path(shutil.copytree(explored, tmp_path / "other"))
    assert f"run folder: {run}" in done("tune", run).replace("\n", "")
    done("tune", explored.parent / "tiny.toml", "--out", by_recipe)
    assert Run.open(run).recipe == Run.open(by_recipe).recipe, "nothing of the recipe is lost"
    mine, its = weights(run / "adapters" / "r1"), weights(by_recipe / "adapters" / "r1")
    assert all(torch.equal(mine[name], tensor) for name, tensor in its.items())
    done("sft", run)
    assert (run / "adapters" / "r1-sft").is_dir()
    assert "round 1 has 6 tasks" in done("synth", run)


def test_what_is_neither_a_recipe_nor_a_run(tmp_path: Path) -> None:
    for stage in ("run", "synth", "explore", "tune", "sft", "eval"):
        message = failure(stage, tmp_path)
        assert f"{tmp_path} is neither a recipe nor a run" in message
        assert "nor the folder of a run" in failure(stage, tmp_path / "absent")
    assert not list(tmp_path.iterdir())


def test_another_recipe_than_the_folders_is_refused(run: Path) -> None:
    assert "another recipe" in failure("tune", run, "-o", "seed=5")


def test_models_that_are_sharded_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    message = failure("tune", run)
    assert "FSDP" in message and "--multi_gpu" in message
    assert not (run / "adapters").exists()


WHOLE, SHARDED = ("--multi_gpu",), ("--use_fsdp", "--fsdp_version", "2")


def launch(
    *arguments: str | Path, way: tuple[str, ...] = WHOLE
) -> subprocess.CompletedProcess[str]:
    """Runs a command of sport in two processes."""
    # With --cpu, Accelerate starts one process, whatever --num_processes says.
    options = [*way, "--num_processes", "2", "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, "-m", "sport"]
    source = str(Path(sport.__file__).parents[1])
    return subprocess.run(
        [*command, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("command", "way"), [("tune", WHOLE), ("tune", SHARDED), ("sft", SHARDED)])
def test_two_processes_tune_a_run_as_one_does(
    run: Path, tmp_path: Path, command: str, way: tuple[str, ...]
) -> None:
    two = Path(shutil.copytree(run, tmp_path / "two"))
    done(command, run)
    launched = launch(command, two, way=way)
    assert launched.returncode == 0, launched.stderr[-3000:]
    assert launched.stdout.count("run folder") == 1, "one process speaks"
    adapters = [folder.name for folder in (run / "adapters").iterdir()]
    assert adapters and {p.name for p in (two / "adapters").iterdir()} == set(adapters)
    for adapter in adapters:
        mine, its = weights(two / "adapters" / adapter), weights(run / "adapters" / adapter)
        assert mine.keys() == its.keys()
        for name, tensor in its.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-3, atol=1e-5)
    assert list((run / "rounds" / "1").glob("tuning*.jsonl"))
    for file in (run / "rounds" / "1").glob("*.jsonl"):
        found = two / "rounds" / "1" / file.name
        assert found.read_text().count("\n") == file.read_text().count("\n") > 0, file.name


@pytest.mark.slow
def test_what_several_processes_cannot_do_is_refused(run: Path) -> None:
    launched = launch("explore", run)
    assert launched.returncode != 0
    assert "runs in one process" in launched.stderr
