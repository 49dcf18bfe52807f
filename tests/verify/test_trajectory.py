"""Whole trajectories are kept or dropped, by rules and by a language model, with a reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fault_server import FaultServer
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.types import Trajectory
from sport.verify.trajectory import LLMTrajectoryVerifier, Opinion, TrajectoryRules

LOOK, ANSWER = "print(ocr('image_0.png'))", "final_answer(2)"


def told(world: Any, *codes: str, end: str = "finished") -> Trajectory:
    here = world("How many?", ocr=lambda image_path: "rice 2")
    for code in codes:
        here.go(code)
    return Trajectory(task=here.task, opening=(), steps=tuple(here.steps), end=end)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codes", "end", "reason"),
    [
        ((LOOK, ANSWER), "finished", "kept"),
        ((LOOK, "1 / 0", ANSWER), "finished", "kept"),
        ((LOOK, "1 / 0", "2 / 0", ANSWER), "finished", "too many failed steps"),
        ((ANSWER,), "finished", "answered without looking"),
        ((LOOK, "final_answer('')"), "finished", "empty answer"),
        ((LOOK, LOOK), "max_steps", "no answer"),
    ],
)
def test_rules(world: Any, codes: tuple[str, ...], end: str, reason: str) -> None:
    opinion = TrajectoryRules(max_failed_steps=1).apply(told(world, *codes, end=end))
    assert (opinion.reason, opinion.keep) == (reason, reason == "kept")


async def asked(
    trajectory: Trajectory, says: Callable[[dict[str, Any]], list[str]], **options: Any
) -> tuple[Opinion, FaultServer]:
    with FaultServer(says=says, **options) as server:
        settings = ServerSettings(url=server.url, attempts=2, backoff_s=0.01)
        client = ChatClient(settings, "judge", "keep")
        async with LLMTrajectoryVerifier(client, TrajectoryRules(), images=False) as verifier:
            return await verifier.consider(trajectory), server


@pytest.mark.parametrize("keep", [True, False])
async def test_a_model_reads_all_of_it_and_decides(world: Any, keep: bool) -> None:
    answer = json.dumps({"reason": "I say so", "keep": keep})
    opinion, server = await asked(told(world, LOOK, ANSWER), lambda body: [answer])
    assert (opinion.keep, opinion.detail) == (keep, "I say so")
    read = server.requests[0]["messages"][1]["content"]
    assert "How many?" in read and LOOK in read and "rice 2" in read and "Final answer: 2" in read


async def test_an_unusable_answer_is_asked_again_and_then_drops_it(world: Any) -> None:
    answers = iter(["yes", '{"keep": "yes"}', '{"keep": true, "reason": "fine"}'])
    opinion, server = await asked(told(world, LOOK, ANSWER), lambda body: [next(answers)])
    assert opinion.keep and len(server.requests) == 3
    assert "cannot be used" in server.requests[1]["messages"][-1]["content"]
    opinion, server = await asked(told(world, LOOK, ANSWER), lambda body: ["no idea"])
    assert (opinion.keep, opinion.reason) == (False, "undecided") and len(server.requests) == 3
    opinion, _ = await asked(told(world, LOOK, ANSWER), lambda b: ["-"], rate=1.0, faults=("503",))
    assert (opinion.keep, opinion.reason) == (False, "undecided") and "503" in opinion.detail


async def test_what_the_rules_drop_costs_nothing(world: Any) -> None:
    opinion, server = await asked(told(world, ANSWER), lambda body: ["-"])
    assert not opinion.keep and not server.requests
