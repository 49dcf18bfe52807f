"""A run with tools of every kind, from its recipe to its record, and the same run replayed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sport.cli import app
from sport.remote.ledger import read_usage
from sport.store import Run
from sport.tools.calls import FILE, CallStore, Count
from sport.types import without_timing

RECIPE = """
tasks = "tasks.jsonl"
rounds = 1
tools = ["mine:count", "mine:send", "mine:draw", "mcp:clock/convert_time"]
[policy]
kind = "script"
model = "mine:policy"
[mcp.clock]
command = ["mcp-server-time"]
[sampling]
temperatures = [0.0, 0.0, 0.0, 0.0, 0.0]
[explore]
max_steps = 3
"""
TOOLS = '''
from pathlib import Path

from sport.policy.scripted import ScriptedPolicy, action
from sport.tools.base import tool

CALLS = Path(__file__).with_name("calls.txt")


def note(what: str) -> None:
    with CALLS.open("a") as file:
        file.write(what + "\\n")


@tool(cost=0.5)
def count(path: Path) -> int:
    """Counts the bytes of a file."""
    note("count")
    return len(path.read_bytes())


@tool(side_effects=True)
def send(text: str) -> str:
    """Sends a text."""
    note(f"send {text}")
    return "sent"


@tool
def draw(times: int) -> Path:
    """Draws."""
    note("draw")
    path = Path(__file__).with_name("drawn.txt")
    path.write_text("*" * times)
    return path


policy = ScriptedPolicy([
    action("n = count('a.txt')\\nprint(n, open(draw(n)).read())"),
    [action(f"print(send('{k}'), convert_time('UTC', '12:00', 'Asia/Tokyo')['time_difference'])")
     for k in range(5)],
    action("final_answer(count('a.txt'))"),
])
'''


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "mine.py").write_text(TOOLS)
    with (folder / "tasks.jsonl").open("w") as tasks:
        for number in range(4):
            (folder / str(number)).mkdir()
            (folder / str(number) / "a.txt").write_text("x" * (3 + number % 2))
            task = {"query": f"Task {number}: how long?", "files": [f"{number}/a.txt"]}
            tasks.write(json.dumps(task) + "\n")
    result = command("explore", folder / "recipe.toml", "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return folder


def counts(run: Path) -> dict[str, Count]:
    return {count.tool: count for count in CallStore(run / "cache" / FILE).counts()}


def test_candidates_pay_once_and_only_winners_send(explored: Path) -> None:
    run = Run.open(explored / "run")
    tasks = len(list(run.trajectories(1)))
    found = counts(explored / "run")
    made = (explored / "calls.txt").read_text().split("\n")
    assert tasks >= 2
    assert found["count"].called == made.count("count") <= 2
    assert found["count"].asked == 10 * tasks
    assert found["count"].cost == 0.5 * found["count"].called
    assert found["send"].called == found["send"].asked == tasks
    assert sum(line.startswith("send") for line in made) == tasks
    for trajectory in run.trajectories(1):
        winner = trajectory.steps[1].winner
        assert winner is not None and winner.observation.text == "sent +9.0h"
    listed = command("tools", "calls", explored / "run").output
    assert [line.split()[:3] for line in listed.splitlines() if line.startswith("send")] == [
        ["send", str(tasks), str(tasks)]
    ]


def test_what_tools_cost_is_booked_and_bounded(explored: Path) -> None:
    booked = read_usage(explored / "run" / "usage.jsonl")
    [usage] = [usage for account, usage in booked.items() if account.role == "tool"]
    made = counts(explored / "run")["count"].called
    assert (usage.requests, usage.cost) == (made, 0.5 * made)
    small = ["-o", "budget.money=0.4", "-o", "explore.group=1"]
    stopped = command("explore", explored / "recipe.toml", *small, "--out", explored / "small")
    assert stopped.exit_code == 3, stopped.output
    assert len(list(Run.open(explored / "small").trajectories(1))) == 1


def test_a_recipe_may_refuse_side_effects(explored: Path) -> None:
    refuse = ["-o", "explore.side_effects=refuse"]
    result = command("explore", explored / "recipe.toml", *refuse, "--out", explored / "refusing")
    assert result.exit_code == 0, result.output
    assert "send" not in counts(explored / "refusing")
    for trajectory in Run.open(explored / "refusing").trajectories(1):
        assert "send has side effects" in trajectory.steps[1].candidates[0].observation.text


def test_a_replay_is_the_same_run_without_any_tool(explored: Path, tmp_path: Path) -> None:
    for name in ("recipe.toml", "tasks.jsonl"):
        shutil.copy(explored / name, tmp_path / name)
    for number in range(4):
        shutil.copytree(explored / str(number), tmp_path / str(number))
    policy = TOOLS[TOOLS.index("policy =") :]
    (tmp_path / "mine.py").write_text(
        "from sport.policy.scripted import ScriptedPolicy, action\n" + policy
    )
    replay = f"replay={explored / 'run'}"
    broken = 'mcp.clock.command=["no-such-command"]'
    out = tmp_path / "again"
    result = command("explore", tmp_path / "recipe.toml", "-o", replay, "-o", broken, "--out", out)
    assert result.exit_code == 0, result.output
    assert "no answer" not in result.output
    before, after = (
        [without_timing(t.model_dump(mode="json")) for t in Run.open(r).trajectories(1)]
        for r in (explored / "run", out)
    )
    assert before == after


def test_where_a_replay_has_no_answer_is_told(explored: Path, tmp_path: Path) -> None:
    shutil.copytree(explored, tmp_path / "other")
    other = tmp_path / "other"
    (other / "mine.py").write_text(TOOLS.replace("'12:00'", "'13:00'"))
    replay = f"replay={explored / 'run'}"
    result = command("explore", other / "recipe.toml", "-o", replay, "--out", other / "new")
    assert result.exit_code == 0, result.output
    found = counts(other / "new")
    assert found["convert_time"].missing == found["convert_time"].asked > 0
    missing = found["convert_time"].missing
    assert f"replay: {missing} calls had no answer" in " ".join(result.output.split())
    [first, *_] = Run.open(other / "new").trajectories(1)
    winner = first.steps[1].winner
    assert winner is not None and winner.outcome is not None and winner.outcome.error is not None
    assert "has no answer to convert_time(source_timezone='UTC'" in winner.outcome.error.message
