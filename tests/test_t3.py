"""The paper's two agents, one after the other: T3 from a teacher, then SPORT from T3's adapter."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import by_heart
from sport.cli import app
from sport.config import RecipeError
from sport.recipes import load_recipe
from sport.store import Run

T3 = """
[synthesis]
tasks_per_round = 8
[policy]
threads = 1
[sampling]
temperatures = [0.7]
max_new_tokens = 48
[explore]
max_steps = 3
group = 8
[verifier]
kind = "none"
[keep]
kind = "rules"
[[tune]]
kind = "sft"
[tune.lora]
r = 4
[evaluation]
early_stop = false
"""
SPORT = """
rounds = 1
[synthesis]
tasks_per_round = 4
[policy]
threads = 1
adapter = "{adapter}"
[sampling]
temperatures = [0.7, 1.2]
max_new_tokens = 48
[explore]
max_steps = 2
group = 4
[verifier]
kind = "random"
[[tune]]
kind = "sft"
[tune.lora]
r = 4
[evaluation]
test = 2
dev = 2
controls = []
early_stop = false
"""


def sport(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_several_candidates_need_a_verifier(tmp_path: Path) -> None:
    file = tmp_path / "t3.toml"
    file.write_text(T3.replace("[0.7]", "[0.7, 1.2]"))
    with pytest.raises(RecipeError, match="nobody chooses among 2"):
        load_recipe(str(file))


def test_a_model_that_keeps_needs_a_server(tmp_path: Path) -> None:
    file = tmp_path / "t3.toml"
    file.write_text(T3.replace('"rules"', '"llm"'))
    with pytest.raises(RecipeError, match=r"keep.*\[verifier\.server\]"):
        load_recipe(str(file))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_teacher_then_imitation_then_preferences(tmp_path: Path) -> None:
    teacher = by_heart.save_model(tmp_path / "teacher")
    t3, run = tmp_path / "t3.toml", tmp_path / "t3"
    t3.write_text(T3)
    sport("explore", t3, "--policy", teacher, "--out", run)
    collected = list(Run.open(run).trajectories(1))
    assert {t.policy for t in collected} == {"teacher"} and len(collected) == 8
    assert {(t.verifier, len(s.candidates)) for t in collected for s in t.steps} == {("", 1)}

    told = sport("sft", t3, "--out", run)
    rows = [json.loads(x) for x in (run / "rounds/1/kept.jsonl").read_text().splitlines()]
    kept = {row["task"] for row in rows if row["opinion"]["keep"]}
    assert len(rows) == 8 and 0 < len(kept)
    assert f"{len(kept)} of 8 trajectories" in told
    assert all(row["opinion"]["reason"] for row in rows)
    sport("report", run)
    assert f"<b>{len(kept)}</b> kept" in (run / "report.html").read_text()
    adapter = run / "adapters" / "r1-sft"
    assert (adapter / "adapter_config.json").is_file()
    assert Run.open(run).recipe.policy.model == "pocket", "the student is the recipe's own model"

    sport("sft", t3, "--out", run, "--model", teacher)
    other = json.loads((run / "adapters" / "r1-sft-teacher" / "adapter_config.json").read_text())
    assert other["base_model_name_or_path"] == str(teacher), "another student beside the first"

    asked = tmp_path / "teacher.toml"
    asked.write_text(f'[synthesis]\ntasks_per_round = 9\n[policy]\nmodel = "{teacher}"\n')
    small = ("-o", "synthesis.tasks_per_round=2")
    sport("explore", t3, "--policy", asked, "--out", tmp_path / "t3-by-recipe", *small)
    assert {t.policy for t in Run.open(tmp_path / "t3-by-recipe").trajectories(1)} == {"teacher"}

    file = tmp_path / "sport.toml"
    file.write_text(SPORT.format(adapter=adapter))
    sport("run", file, "--out", tmp_path / "sport")
    loop = Run.open(tmp_path / "sport")
    assert {t.policy for t in loop.trajectories(1)} == {"pocket+r1-sft"}
    assert {t.policy for t in loop.evaluation(1, "test")} == {"pocket+r1"}
