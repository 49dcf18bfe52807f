"""From round 2 on, what the controller masters sometimes is wanted more."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.store import Run
from sport.synthesis.folder import read_mix
from sport.synthesis.mix import FLOOR, Mix, Results, mix_of
from synthesis.scripted import Body, needs, query_of, stage_of, tasks, verdict

Recipe = Callable[..., Path]
TOOLS = ["always", "sometimes", "never", "fresh"]


def results() -> Mix:
    """Twenty tasks with each of three tools."""
    often = {"always": 20, "sometimes": 10, "never": 0}
    return mix_of(([t], ["photo"], i < n) for t, n in often.items() for i in range(20))


def test_what_is_solved_sometimes_is_drawn_more_often() -> None:
    rng, mix = random.Random(0), results()
    drawn = Counter(tool for _ in range(2000) for tool in mix.draw_tools(TOOLS, 1, rng))
    assert drawn["sometimes"] > 3 * drawn["always"] and drawn["sometimes"] > 3 * drawn["never"]
    assert drawn["always"] > 100 and drawn["never"] > 100, "nothing is forgotten"
    assert 0.8 < drawn["fresh"] / drawn["sometimes"] < 1.25, "what is unknown is worth a try"


def test_weights_lie_between_the_floor_and_one() -> None:
    for tasks_done in range(12):
        for solved in range(tasks_done + 1):
            weight = Results(solved=solved, tasks=tasks_done).weight
            assert FLOOR <= weight <= 1
    assert Results(solved=3, tasks=6).weight == 1
    assert Results(solved=1, tasks=1).weight > Results(solved=30, tasks=30).weight == FLOOR


def test_no_tool_is_drawn_twice() -> None:
    mix, rng = results(), random.Random(1)
    assert sorted(mix.draw_tools(TOOLS, 9, rng)) == sorted(TOOLS)


def played(body: Body) -> list[str]:
    stage = stage_of(body)
    if stage == "queries":
        number = body["seed"]
        looks = [(f"Where is thing {number} {i}?", ["objectlocation"]) for i in range(6)]
        reads = [(f"Read me {number} line {i} aloud", ["ocr"]) for i in range(4)]
        return [tasks(looks + reads)]
    if stage == "needs":
        return [needs(("photo", "a printed page" if "Read" in query_of(body) else "a tabby cat"))]
    return [verdict()]


POLICY = """
from sport.policy.scripted import ScriptedPolicy, action
policy = ScriptedPolicy([
    action("print(ocr('image_0.png')[:40])"), action("final_answer('it says what it says')")
])
"""


def test_round_two_follows_the_results_of_round_one(place: Path, recipe: Recipe) -> None:
    (place / "script.py").write_text(POLICY)
    more = """make_files = false
max_uses = 50
max_overlap = 1.0
{switch}
[evaluation]
held_out = 0.0001
[explore]
max_steps = 2
[policy]
kind = "script"
model = "script:policy"
"""
    with FaultServer(says=played) as server:
        for switch in ("curriculum = true", "curriculum = false"):
            file = recipe(server.url, 10, more.format(switch=switch))
            out = str(place / switch.replace(" ", ""))
            for command, number in (("explore", "1"), ("synth", "2")):
                arguments = [command, str(file), "--out", out, "--round", number]
                done = CliRunner().invoke(app, arguments)
                assert done.exit_code == 0, done.output
    followed = read_mix(Run.open(place / "curriculum=true"), "round-2")
    assert followed is not None
    assert followed.tools["ocr"].tasks + followed.tools["objectlocation"].tasks == 10
    assert followed.tools["ocr"].solved == followed.tools["ocr"].tasks > 0
    assert followed.kinds["photo"].tasks == 10
    assert read_mix(Run.open(place / "curriculum=true"), "round-1") == Mix()
    assert read_mix(Run.open(place / "curriculum=false"), "round-2") == Mix()
