"""GTA: its file, its recorded tools, its figures, and gold chains that are replayed."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from sport.agents.base import Agent
from sport.assemble import greedy
from sport.blobs import BlobStore
from sport.cli import app
from sport.config import Recipe
from sport.evals.base import Turn
from sport.evals.config import BenchmarkSettings
from sport.evals.gta.benchmark import GTABenchmark
from sport.evals.gta.data import GTAError, load_items
from sport.evals.gta.mapping import COUNTERPARTS, FAMILIES, chain
from sport.evals.gta.metrics import GTAScore
from sport.evals.gta.replay import UNRECORDED, Replay
from sport.evals.metrics import summarise
from sport.evals.reasons import reason
from sport.recipes import parse_recipe
from sport.store import Run
from sport.types import Task, Trajectory
from sport.workbench import Workbench

SMALL = Path(__file__).parents[1] / "data" / "gta_small.json"
BESIDE = Path(__file__).parents[3] / "shared" / "data"
REAL = Path(os.environ.get("SPORT_GTA", BESIDE))
needs_gta = pytest.mark.skipif(
    not (REAL / "gta_dataset.json").is_file(),
    reason="GTA's file is not here: set SPORT_GTA to its folder (it is not ours to ship)",
)
EDGES = {"19", "67", "69", "71", "72", "83", "94", "170", "171", "198", "206"}
WITHOUT_ANSWER = {"115", "211"}


def sport(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in GTA's layout, with pictures."""
    folder = tmp_path / "gta"
    (folder / "image").mkdir(parents=True)
    (folder / "dataset.json").write_text(SMALL.read_text())
    for i in range(1, 6):
        Image.new("RGB", (40, 30), (i * 40, 0, 0)).save(folder / f"image/image_{i}.png")
    return folder


def replayed(out: Path, data: Path, *more: object) -> dict[str, Any]:
    code, output = sport(
        "eval", "gta", "--policy", "gold", "--tools", "replay", "--data", data, *more, "--out", out
    )
    assert code == 0, output
    [row] = Run.open(out).metrics()
    return row


# The file.


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("[]", "one object with the items"),
        ("{", "cannot be read as JSON"),
        ('{"7": {"tools": [], "files": [], "dialogs": []}}', "item 7: dialogs"),
        ('{"7": {"tools": [], "dialogs": [{"role": "user", "content": "?"}]}}', "item 7: files"),
        ('{"7": {"tools": [], "files": [], "dialogs": [{"role": "tool"}]}}', "begin with a quest"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, broken: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(broken)
    with pytest.raises(GTAError, match=message):
        load_items(tmp_path)


def test_missing_pictures_are_named(data: Path, tmp_path: Path) -> None:
    (data / "image/image_2.png").unlink()
    code, output = sport("eval", "gta", "--policy", "gold", "--data", data, "--out", tmp_path / "r")
    assert code == 1
    assert "1 pictures of GTA are missing, such as image/image_2.png" in output
    assert "--no-pictures" in output


def test_every_tool_has_its_family_and_its_counterpart() -> None:
    assert set(COUNTERPARTS) == set(FAMILIES) and len(FAMILIES) == 14
    assert chain(("Calculator", "Solver", "Plot", "final_answer")) == []
    assert chain(("MathOCR", "visualizer")) == [frozenset({"ocr"}), frozenset({"visualizer"})]


# Recorded tools.


def test_a_recorded_call_gets_its_result_and_a_near_one_the_nearest() -> None:
    replay = Replay(load_items(SMALL)[0], {}, "gta")
    exact = replay.find("Calculator", {"expression": "4 * 7"})
    near = replay.find("Calculator", {"expression": "4*7"})
    assert (exact.kind, exact.distance) == ("exact", 0)
    assert near.kind == "nearest" and 0 < near.distance < 0.2
    assert replay.answer("Calculator", {"expression": "4*7"}) == "28"
    assert replay.find("OCR", {"image": "/workspace/image_1.png"}).kind == "exact"


def test_nothing_is_invented() -> None:
    items = load_items(SMALL)
    replay = Replay(items[0], {}, "gta")
    assert replay.answer("OCR", {"image": "another.png"}) == UNRECORDED
    assert replay.answer("GoogleSearch", {"query": "lamp"}) == UNRECORDED
    drawn = Replay(items[2], {}, "gta").find("DrawBox", {"bbox": "(5, 6, 7, 8)"})
    assert drawn.kind == "unrecorded" and drawn.call is not None


def test_the_papers_tools_answer_from_the_same_recordings() -> None:
    replay = Replay(load_items(SMALL)[3], {"image_4.png": "image_0.png"}, "paper")
    question = {"question": "Describe the image.", "image_path": "image_0.png"}
    assert replay.answer("visualizer", question) == "a calm lake"
    near = {**question, "question": "Describe this image"}
    assert replay.find("visualizer", near).kind == "nearest"
    assert "visualizer" in replay.tools() and "ImageDescription" not in replay.tools()


# Replayed gold chains.


@pytest.mark.parametrize("agent", ["code", "json", "toolcall"])
def test_the_gold_chains_are_replayed_by_every_agent(
    agent: str, data: Path, tmp_path: Path
) -> None:
    row = replayed(tmp_path / "run", data, "--agent", agent)
    assert (row["tool_acc"], row["code_exec"], row["finished"]) == (1.0, 1.0, 1.0)
    right = {name: answers["right"] for name, answers in row["answers"].items()}
    # "30%" ends in no edge of a word, and the door of "red_door.png" begins at none.
    assert right == {"gta": 1, "mat": 3, "sport": 3}
    assert (row["gta_inst_hits"], row["gta_tool_hits"], row["gta_arg_hits"]) == (10, 7, 7)
    assert row["replay"] == {"exact": 6, "unrecorded": 1, "mean_distance": None}
    assert row["unrecorded_items"] == ["2"] and row["pictures_unscored"] == 1
    assert row["sentences"]["n"] == 1 and row["sentences"]["similarity"] in (None,)


def test_gold_steps_are_asked_for_one_by_one(data: Path, tmp_path: Path) -> None:
    row = replayed(tmp_path / "run", data, "--step-by-step")
    assert (row["gta_inst_acc"], row["gta_tool_acc"], row["gta_arg_acc"]) == (1.0, 1.0, 1.0)
    assert row["protocol"]["step_by_step"] is True
    trajectory = next(Run.open(tmp_path / "run").evaluation(0, "test"))
    assert "after the gold steps" in trajectory.detail


def test_the_papers_names_can_be_replayed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, output = sport(
        "eval", "gta", "--policy", "gold", "--tools", "replay-paper", "--data", data, "--out", out
    )
    assert code == 0, output
    [row] = Run.open(out).metrics()
    assert (row["tool_acc"], row["code_exec"]) == (1.0, 1.0)
    assert row["gta_tool_acc"] is None, "its names are not GTA's: never 0"


class Corrupted(GTABenchmark):
    """Gold chains with one thing changed."""

    def __init__(self, data: Path, blobs: Path, how: str, item: str) -> None:
        settings = BenchmarkSettings(name="gta", replay="gta", pictures=False, scorer="mat")
        super().__init__(settings, data, BlobStore(blobs), 10_000)
        self._how, self._which = how, item

    def script(self, task: Task, agent: Agent) -> list[Turn]:
        turns = super().script(task, agent)
        if task.id != self._which or agent.write is None:
            return turns
        first = turns[0]
        if self._how == "wrong tool":
            # Another of the item's own tools, which the mapping does not take for the same.
            item = self._items[task.id]
            called = {call.name for call in item.calls}
            wrong = next(t for t in item.tools if t.name not in called)
            values = {i.name: "x" for i in wrong.inputs if not i.optional}
            return [Turn(agent.write("", wrong.name, values), first.observation), *turns[1:]]
        if self._how == "broken code":
            return [Turn(first.text.replace("print(", "print(("), first.observation), *turns[1:]]
        if self._how == "wrong argument":
            return [Turn(first.text.replace("='", "='x"), first.observation), *turns[1:]]
        return [*turns[:-1], *[Turn(agent.write("", "print", {"end": "?"}), "")] * 14]


def run_corrupted(data: Path, folder: Path, how: str, item: str) -> list[GTAScore]:
    recipe: Recipe = parse_recipe(
        {
            "rounds": 0,
            "benchmark": {"name": "gta", "replay": "gta", "pictures": False},
            "policy": {"kind": "gold", "prompt": "code_agent"},
            "explore": {"max_steps": 9},
        },
        "test",
    )
    benchmark = Corrupted(data, folder / "blobs", how, item)
    bench = Workbench(recipe, equipment=lambda: benchmark)
    tasks = benchmark.tasks("test")
    done: list[Trajectory] = []
    asyncio.run(
        bench.solve(
            tasks, bench.controller(None), None, plan=greedy(recipe), round=0, group=20,
            commit=done.extend,
        )
    )  # fmt: skip
    scores = [benchmark.score(t, d) for t, d in zip(tasks, done, strict=True)]
    return [
        s.model_copy(update={"reason": reason(s, d)}) for s, d in zip(scores, done, strict=True)
    ]


def sums(scores: Sequence[GTAScore]) -> dict[str, float]:
    usual = summarise(scores)
    return {
        "tool": sum(s.tool_acc or 0 for s in scores),
        "code": sum(s.code_exec for s in scores),
        "right": usual.right,
        "finished": sum(s.finished for s in scores),
        "inst": sum(s.inst for s in scores),
        "tool_hits": sum(s.tool_hits for s in scores),
        "arg_hits": sum(s.arg_hits for s in scores),
    }


@pytest.mark.parametrize(
    ("how", "lost"),
    [
        # Item 0 has a chain of one tool (its calculator is Python), two calls and three turns.
        ("wrong tool", {"tool": 1, "tool_hits": 1, "arg_hits": 1}),
        # The step fails before its call is made; it keeps its place among the turns.
        ("broken code", {"tool": 1, "code": 1 / 3, "inst": 1, "tool_hits": 1, "arg_hits": 1}),
        ("dropped answer", {"right": 1, "finished": 1, "inst": 1}),
        ("wrong argument", {"arg_hits": 1}),
    ],
)
def test_each_corruption_lowers_what_it_should(
    how: str, lost: dict[str, float], tmp_path: Path
) -> None:
    sound = sums(run_corrupted(SMALL, tmp_path, "none", "no item"))
    corrupted = run_corrupted(SMALL, tmp_path, how, "0")
    found = {k: v - sums(corrupted)[k] for k, v in sound.items()}
    assert {k: v for k, v in found.items() if abs(v) > 1e-9} == pytest.approx(lost)
    if how == "dropped answer":
        assert corrupted[0].reason == "gave up"


@needs_gta
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_gold_replay_of_all_of_gta(tmp_path: Path) -> None:
    row = replayed(tmp_path / "run", REAL, "--no-pictures", "--scorer", "gta")
    assert (row["n"], row["tool_acc"], row["code_exec"]) == (229, 1.0, 1.0)
    right = {name: (a["right"], a["n"]) for name, a in row["answers"].items()}
    assert right["gta"] == (143, 156) and right["mat"] == (154, 156)
    assert row["replay"]["exact"] == 555 and row["replay"]["unrecorded"] == 2
    assert row["unrecorded_items"] == ["34", "35"]
    file = Run.open(tmp_path / "run").evaluation_file(0, "test").with_suffix(".scores.jsonl")
    scores = [json.loads(line) for line in file.read_text().splitlines()]
    wrong = {s["task"]: s["reason"] for s in scores if s["reason"]}
    assert {task for task, why in wrong.items() if why == "scorer"} == EDGES
    assert wrong.keys() - EDGES == WITHOUT_ANSWER


@needs_gta
def test_the_whole_file_is_read_and_every_gold_call_is_found() -> None:
    items = load_items(REAL)
    assert len(items) == 229 and sum(len(item.calls) for item in items) == 557
    kinds = [item.kind for item in items]
    assert [kinds.count(k) for k in ("text", "sentences", "picture")] == [156, 16, 57]
    for item in items:
        replay = Replay(item, {}, "gta")
        found = [replay.find(c.name, c.arguments) for c in item.calls]
        assert [m.call for m in found] == list(item.calls)
        for call, match in zip(item.calls, found, strict=True):
            assert match.kind == ("exact" if call.recorded else "unrecorded"), item.id
            replay.tools()[call.name].bind([], replay.say(call).arguments)  # type: ignore[union-attr]
