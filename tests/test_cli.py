"""The command line: one clear message for what can go wrong before and while a run goes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sport.cli import app


def sport(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def failure(*arguments: str | Path) -> str:
    """The one message of a command that must fail."""
    result = sport(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def own_tasks(folder: Path, *lines: dict[str, object]) -> Path:
    (folder / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = folder / "own.toml"
    recipe.write_text('tasks = "tasks.jsonl"\n')
    return recipe


def test_help_answers_at_once() -> None:
    code = (
        "import sys; sys.argv = ['sport', '--help']\n"
        "from sport.cli import app\n"
        "app(standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    started = time.perf_counter()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, "the command line imports torch before it knows what to do"
    assert "doctor" in shown.stdout
    assert time.perf_counter() - started < 20


def test_a_recipe_with_a_typo(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[synthesis]\ntasks_per_rond = 3\n")
    message = failure("run", recipe, "--out", tmp_path / "run")
    assert str(recipe) in message and "Did you mean 'tasks_per_round'?" in message
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe(tmp_path: Path) -> None:
    assert "Did you mean 'pocket-quick'?" in failure("run", "pocket-quik")


def test_a_task_with_a_missing_image(tmp_path: Path) -> None:
    recipe = own_tasks(tmp_path, {"query": "How many stars?", "files": ["stars.png"]})
    message = failure("run", recipe, "--out", tmp_path / "run")
    assert "stars.png" in message and "line 1" in message


def test_a_folder_of_another_recipe(tmp_path: Path) -> None:
    recipe = own_tasks(tmp_path, {"query": "q"})
    failure("run", recipe, "--out", tmp_path / "run")
    message = failure("run", recipe, "--out", tmp_path / "run", "-o", "seed=5")
    assert "another recipe" in message and "seed" in message and "--out" in message


def test_a_folder_that_is_being_written(tmp_path: Path) -> None:
    from sport.recipes import load_recipe
    from sport.store import Run

    recipe = own_tasks(tmp_path, {"query": "q"})
    with Run.create(tmp_path / "run", load_recipe(str(recipe))):
        assert "another process" in failure("run", recipe, "--out", tmp_path / "run")


def test_an_unknown_tool(tmp_path: Path) -> None:
    recipe = own_tasks(tmp_path, {"query": "q"}, {"query": "r"})
    message = failure("run", recipe, "--out", tmp_path / "run", "-o", 'tools=["ocrr"]')
    assert "did you mean 'ocr'" in message


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    recipe = own_tasks(tmp_path, {"query": "q"}, {"query": "r"})
    message = failure(
        "run", recipe, "--out", tmp_path / "run", "-o", f"policy.model={tmp_path / 'model'}"
    )
    assert "holds no model" in message


def test_tuning_before_exploring(tmp_path: Path) -> None:
    recipe = own_tasks(tmp_path, {"query": "q"}, {"query": "r"})
    message = failure("tune", recipe, "--out", tmp_path / "run")
    assert "round 1 has not been explored" in message


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    assert "is not a run" in failure("report", tmp_path)
    assert "is not a run" in failure("ask", tmp_path, "How many?")


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that even root cannot write."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "sport-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_cannot_be_written(tmp_path: Path, read_only: Path) -> None:
    recipe = own_tasks(tmp_path, {"query": "q"})
    message = failure("run", recipe, "--out", read_only / "run")
    assert "cannot be written" in message and "--out" in message
