"""`sport run --dry-run` says what servers will be asked, asks nothing, and is not far off."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.estimate import at_most, likely, loads
from sport.recipes import load_recipe
from sport.remote.ledger import of_models
from sport.store import Run
from test_remote_runs import recipe, says

JUDGE = """
[verifier]
kind = "llm"
votes = 3
[verifier.server]
url = "{url}"
model = "judge"
price = {{ input = 1.0, output = 2.0 }}
"""


def flat(text: str) -> str:
    return " ".join(text.split())


def test_nothing_is_asked_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer(says=says) as server:
        file = recipe(tmp_path, server, tasks=8)
        file.write_text(file.read_text() + JUDGE.format(url=server.url))
        done = CliRunner().invoke(app, ["run", str(file), "--dry-run", "-o", "budget.money=0.001"])
        assert done.exit_code == 0, done.output
        assert server.requests == []
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
    told = flat(done.output)
    assert "No request was made" in told and "Hours" in told and "verifier" in told
    assert "budget.money is 0.001" in told and "stop before its end" in told


def test_without_servers_there_is_nothing_to_pay() -> None:
    done = CliRunner().invoke(app, ["run", "pocket-quick", "--dry-run"])
    assert "No server is asked" in flat(done.output)


def test_a_run_asks_for_what_was_said(tmp_path: Path) -> None:
    """Every trajectory takes two steps, with two temperatures: what the bounds say, exactly."""
    with FaultServer(says=says) as server:
        file = recipe(tmp_path, server, tasks=6)
        options = ["-o", "explore.max_steps=2"]
        done = CliRunner().invoke(
            app, ["explore", str(file), "--out", str(tmp_path / "run"), *options]
        )
        assert done.exit_code == 0, done.output
    [(_, usage)] = of_models(Run.open(tmp_path / "run").usage())
    loaded = load_recipe(str(file), ["explore.max_steps=2"])
    [stages] = loads(loaded, at_most(loaded))
    [explored] = [x for x in stages if "exploring" in x.stage]
    assert explored.requests == usage.requests == 6 * 2 * 2


def test_figures_by_hand(tmp_path: Path) -> None:
    with FaultServer() as server:
        file = recipe(tmp_path, server, tasks=10)
        file.write_text(file.read_text() + JUDGE.format(url=server.url))
    loaded = load_recipe(str(file), ["evaluation.test=3", "evaluation.dev=2"])
    habits = likely(loaded)
    [usual, most] = loads(loaded, habits, at_most(loaded))
    assert [x.stage for x in usual] == [x.stage for x in most]
    found = {(x.stage, x.role): x for x in usual}
    assert (habits.steps, habits.action) == (1.5, 120)
    explored = found["round 1: exploring", "policy"]
    assert explored.requests == 10 * 1.5 * 2 and explored.written == 10 * 1.5 * 5 * 120
    judged = found["round 1: exploring", "verifier"]
    assert judged.requests == 10 * 1.5 * 3 and judged.written == judged.requests * 80
    assert found["round 0: test", "policy"].requests == 3 * 1.5
    assert {s for s, _ in found} == {
        *(f"round {k}: {split}" for k in (0, 1) for split in ("dev", "test")),
        "round 1: exploring",
    }
    cost = sum(
        x.cost(loaded.servers()["policy" if x.role == "policy" else "verifier"].price)
        for x in found.values()
    )
    told = flat(CliRunner().invoke(app, ["run", str(file), "--dry-run",
                "-o", "evaluation.test=3", "-o", "evaluation.dev=2"]).output)  # fmt: skip
    line = re.search(r"likely ([^─]*?)(?=at most)", told)
    assert line is not None and f"{cost:,.2f}" in line[1], told


WRITES = """
rounds = 1
tools = ["ocr"]
[synthesis]
kind = "llm"
tasks_per_round = 70
from_tools = true
batch = 10
waves = 2
[synthesis.server]
url = "http://127.0.0.1:9/v1"
model = "writer"
price = { input = 1.0, output = 2.0 }
[synthesis.checker]
url = "http://127.0.0.1:9/v1"
model = "looker"
price = { input = 10.0, output = 20.0 }
[evaluation]
held_out = 0.1
controls = []
"""


def test_tasks_that_a_model_writes_are_reckoned_too(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(WRITES)
    recipe = load_recipe(str(file))
    [usual, most] = loads(recipe, likely(recipe), at_most(recipe))
    found = {(x.stage, x.role): x for x in usual}
    written = found["round 1: tasks", "synthesis"]
    # 100 drafts in 10 requests, each asked what it needs, and half of them a file made.
    assert written.requests == 10 + 100 + 50
    assert found["round 1: tasks, checked", "synthesis.checker"].requests == 120
    assert found["tasks of held-out", "synthesis"].requests == 1 + 10 + 5
    bound = {(x.stage, x.role): x for x in most}["round 1: tasks", "synthesis"]
    assert bound.requests > 20 * written.requests
    told = flat(CliRunner().invoke(app, ["run", str(file), "--dry-run"]).output)
    cost = sum(x.cost(recipe.servers()[x.role].price) for x in usual)
    assert f"{cost:,.2f}" in told and "No request was made" in told
