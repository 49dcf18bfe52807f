"""What is done with a run of a tiny controller: controls, probes, best-of-n, questions."""

import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import by_heart
from sport.cli import app
from sport.config import RecipeError
from sport.controls import run_control
from sport.loop import improve
from sport.pipeline import Pipeline
from sport.progress import Progress
from sport.recipes import load_recipe
from sport.store import Run

CONTROLS = ("random", "shuffled-2", "sft", "oracle", "oracle-60")
RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = 18
[policy]
model = "{model}"
threads = 1
[sampling]
temperatures = [0.7, 1.2, 1.2]
max_new_tokens = 48
[explore]
max_steps = 2
[evaluation]
test = 12
dev = 2
[[tune]]
kind = "sft"
[[tune]]
kind = "dpo"
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A run with its controls, probes and a best-of-n evaluation; not to be changed."""
    folder = tmp_path_factory.mktemp("controls")
    file = folder / "tiny.toml"
    file.write_text(RECIPE.format(model=by_heart.save_model(folder / "model")))
    with Run.create(folder / "run", load_recipe(str(file))) as run:
        done = Pipeline(run, Progress(Console(quiet=True)))
        last = improve(done, 1)
        for control in CONTROLS:
            run_control(done, control)
        done.probe(last, 1)
        done.best_of_n(None, 0)
        yield done


def test_every_measurement_has_its_row(pipeline: Pipeline) -> None:
    rows = {(r["round"], r["split"], r["control"], r["samples"]) for r in pipeline.run.metrics()}
    method = {(k, split, None, 1) for k in (0, 1) for split in ("dev", "test")}
    controls = {(1, "test", control, 1) for control in CONTROLS}
    probes = {(1, "test-blank", None, 1), (1, "test-swapped", None, 1)}
    assert rows == method | controls | probes | {(0, "test", None, 3)}


def test_a_control_differs_from_the_method_in_its_labels_alone(pipeline: Pipeline) -> None:
    folder = pipeline.run.path / "adapters"
    weights = {p.name: (p / "adapter_model.safetensors").read_bytes() for p in folder.glob("r1*")}
    adapters = {name: w for name, w in weights.items() if ".stage" not in name}
    assert set(adapters) == {"r1", *(f"r1-{c}" for c in CONTROLS)}
    assert len(set(adapters.values())) == len(adapters), "each learnt something of its own"
    curves = {c: _curve(pipeline, f"-{c}") for c in ("random", "oracle")} | {"": _curve(pipeline)}
    assert all({r["stage"] for r in curve} == {"sft", "dpo"} for curve in curves.values())
    assert {r["stage"] for r in _curve(pipeline, "-sft")} == {"sft"}


def _curve(pipeline: Pipeline, suffix: str = "") -> list[dict[str, object]]:
    file = pipeline.run.round_folder(1) / f"tuning{suffix}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_d6_best_of_n_says_so_and_stands_apart(pipeline: Pipeline) -> None:
    [best] = [r for r in pipeline.run.metrics() if r["samples"] > 1]
    assert best["verifier"] == "rubric"
    for trajectory in pipeline.run.trajectories_in(
        pipeline.run.round_folder(0) / "eval-test-best-of-3.jsonl"
    ):
        assert all(len(step.candidates) == 3 for step in trajectory.steps)
    for trajectory in pipeline.run.evaluation(0, "test"):
        assert all(len(step.candidates) == 1 for step in trajectory.steps)


def test_the_agent_of_a_run_answers_about_a_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    picture = tmp_path / "scene.jpg"
    Image.new("RGB", (320, 240), "white").save(picture)
    question = by_heart.QUERIES[0]
    run = str(pipeline.run.path)
    for more in ([], ["--round", "0"]):
        told = CliRunner().invoke(app, ["ask", run, question, "--file", str(picture), *more])
        assert "Step 1:" in told.output and ("Answer:" in told.output or "No answer" in told.output)
    missing = CliRunner().invoke(app, ["ask", run, question, "--file", str(tmp_path / "no.png")])
    assert missing.exit_code == 1 and "no.png" in missing.output
    assert "Traceback" not in missing.output


@pytest.mark.parametrize("name", ["randm", "oracle-9", "shuffled-", "oracle-120"])
def test_an_unknown_control_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"evaluation.controls.1"):
        load_recipe("pocket", [f'evaluation.controls=["{name}"]'])
