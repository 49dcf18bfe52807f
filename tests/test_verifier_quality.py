"""A verifier of known quality is measured: by the report, and by a person's choices.

It knows the right candidate, takes the first that is shown at a set rate, and else errs at another.
"""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.assemble import golds
from sport.cli import app
from sport.evals.statistics import wilson
from sport.evals.verdicts import verdict_stats
from sport.policy.scripted import action
from sport.remote.ledger import of_models
from sport.store import Run
from sport.verify.agreement import draw
from sport.verify.relabel import verifier_accuracy

TASKS, FIRST, ERRS, N = 240, 0.3, 0.2, 5
RIGHT = FIRST / N + (1 - FIRST) * (1 - ERRS)
FIRST_PLACE = FIRST + (1 - FIRST) / N

RECIPE = """
tasks = "tasks.jsonl"
[policy]
kind = "chat"
model = "base"
[policy.server]
url = "{policy}"
[verifier]
kind = "llm"
[verifier.server]
url = "{verifier}"
model = "judge"
[sampling]
temperatures = [1.0, 1.0, 1.0, 1.0, 1.0]
[evaluation]
held_out = 0.01
"""


def answers(body: dict[str, Any]) -> list[str]:
    """The right answer, and four wrong ones."""
    number = int(re.search(r"number (\d+)", body["messages"][0]["content"])[1])
    return [action(f"final_answer({number + k})") for k in range(N)]


def judges(body: dict[str, Any]) -> list[str]:
    text = body["messages"][1]["content"]
    number = re.search(r"number (\d+)", text)[1]
    shown = re.findall(r"Code:\nfinal_answer\((\d+)\)", text)
    draw = random.Random(number)
    right = shown.index(number) + 1
    wrong = [i for i in range(1, N + 1) if i != right]
    if draw.random() < FIRST:
        best = 1
    else:
        best = draw.choice(wrong) if draw.random() < ERRS else right
    return [json.dumps({"reason": "so", "best": best})]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an explored run."""
    folder = tmp_path_factory.mktemp("quality")
    lines = [{"query": f"What is number {i}?", "answer": i} for i in range(1000, 1000 + TASKS)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with FaultServer(says=answers) as policy, FaultServer(says=judges) as verifier:
        file = folder / "quality.toml"
        file.write_text(RECIPE.format(policy=policy.url, verifier=verifier.url))
        done = CliRunner().invoke(app, ["explore", str(file), "--out", str(folder / "run")])
        assert done.exit_code == 0, done.output
    yield folder / "run"


def within(value: float, interval: tuple[float, float]) -> bool:
    return interval[0] <= value <= interval[1]


def test_the_report_measures_it(judged: Path) -> None:
    run = Run.open(judged)
    found = verifier_accuracy(run.trajectories(1), golds(run.tasks())).overall
    assert found.choices == found.right + found.wrong > 200
    assert within(RIGHT, wilson(found.right, found.choices))
    stats = verdict_stats(run.trajectories(1))
    assert within(FIRST_PLACE, stats.places[0].interval)
    assert all(within((1 - FIRST_PLACE) / (N - 1), p.interval) for p in stats.places[1:])
    assert {a.role for a, _ in of_models(run.usage())} == {"policy", "verifier"}
    assert CliRunner().invoke(app, ["report", str(judged)]).exit_code == 0
    page = (judged / "report.html").read_text()
    assert "How the verifier chose" in page
    lo, hi = (f"{100 * x:.1f}" for x in stats.places[0].interval)
    assert f"[{lo},{hi}]" in page


def test_agree_measures_it(judged: Path) -> None:
    ballots = draw(Run.open(judged).trajectories(), 150, seed=3)
    right = [
        next(i for i, c in enumerate(b.shown, 1) if c.action.code in _right(b.task.query))
        for b in ballots
    ]
    command = ["agree", str(judged), "--steps", "150", "--seed", "3", "--name", "ada"]
    first = CliRunner().invoke(
        app, command, input="".join(f"{r}\n" for r in right[:100]) + "x\nq\n"
    )
    assert first.exit_code == 0 and "'x' is none of" in first.output
    assert "so" not in re.findall(r"\w+", first.output), "the verdict's reason is not shown"
    # What was answered is kept; 50 steps are left.
    rest = "".join(f"{r}\n" for r in right[100:])
    done = CliRunner().invoke(app, [*command, "--judge", "oracle"], input=rest)
    assert done.exit_code == 0, done.output
    assert "1 of 50" in done.output
    told = re.findall(
        r"same in ([\d.]+) \[([\d.]+),([\d.]+)\] % of (\d+) steps; "
        r"Cohen's kappa (\S+) \[(\S+),(\S+)\]; 0 more",
        done.output,
    )
    assert len(told) == 3, done.output
    with_run, with_oracle, _ = ([float(x) for x in row] for row in told)
    assert with_run[3] == 150 and within(100 * RIGHT, (with_run[1], with_run[2]))
    # Places are drawn by lot, so chance agreement is one in five.
    assert within((RIGHT - 1 / N) / (1 - 1 / N), (with_run[5], with_run[6]))
    assert with_oracle[0] == 100 and with_oracle[4] == 1


def _right(query: str) -> str:
    number = re.search(r"number (\d+)", query)[1]
    return f"final_answer({number})"


def test_other_verifiers_are_compared_without_a_person(judged: Path) -> None:
    done = CliRunner().invoke(app, ["agree", str(judged), "--no-ask", "--judge", "random"])
    assert done.exit_code == 0 and "random" in done.output, done.output
