"""The controller behind a server: what becomes of the texts that servers give."""

import asyncio
from typing import Any

import pytest

from fault_server import FaultServer
from sport.policy.base import Missing, Request, SamplingPlan
from sport.policy.chat import ChatPolicy
from sport.policy.scripted import action
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.remote.faults import Fault
from sport.remote.wire import Choice, read_reply
from sport.types import END_OF_ACTION, Action, Message

MESSAGES = (Message(role="user", text="How many?"),)


def sample(server: FaultServer, *temperatures: float) -> list[Any]:
    plan = SamplingPlan(temperatures=temperatures)
    request = Request(messages=MESSAGES, seeds=tuple(range(plan.n)), plan=plan)

    async def main() -> Any:
        settings = ServerSettings(url=server.url, backoff_s=0.01, attempts=1)
        async with ChatPolicy(ChatClient(settings, "base", "policy"), "base") as policy:
            [found] = await policy.sample([request])
            return found

    return asyncio.run(main())


def test_candidates_stand_in_the_order_of_the_plan() -> None:
    def says(body: dict[str, Any]) -> list[str]:
        return [f"{body['temperature']}-{i}" for i in range(body["n"])]

    with FaultServer(says=says) as server:
        found = sample(server, 1.2, 0.7, 1.2, 0.0)
    texts = [a.text.removesuffix(END_OF_ACTION) for a in found]
    assert texts == ["1.2-0", "0.7-0", "1.2-1", "0.0-0"]
    assert [a.temperature for a in found] == [1.2, 0.7, 1.2, 0.0]
    assert len(server.requests) == 3


def test_one_temperature_is_one_request() -> None:
    with FaultServer() as server:
        assert len(sample(server, 0.7, 0.7, 0.7, 0.7, 0.7)) == 5
    assert [r["n"] for r in server.requests] == [5]


def test_what_is_missing_stands_in_its_place() -> None:
    with FaultServer(rate=1.0, faults=("fewer choices",)) as server:
        found = sample(server, 0.7, 1.2, 1.2)
    assert [type(f) for f in found] == [Missing, Action, Missing]


@pytest.mark.parametrize("more", ["", "\nObservation:\n42\n\nThought: so"])
def test_an_action_ends_at_its_marker(more: str) -> None:
    with FaultServer(says=lambda body: [action("print(1)") + more]) as server:
        [found] = sample(server, 0.0)
    assert (found.text, found.code) == (action("print(1)"), "print(1)")


def read(text: str, **data: Any) -> Choice:
    choice = {"message": {"content": text}, "finish_reason": "stop", **data}
    [found] = read_reply({"choices": [choice]}).choices
    return found


def test_how_a_choice_ended_is_read() -> None:
    assert read("a").stop is None
    assert read("a", stop_reason=None).stop == ""
    assert read("a", stop_reason=END_OF_ACTION).stop == END_OF_ACTION
    assert read("a", finish_reason="length").finish == "length"


def test_a_text_in_parts_is_joined() -> None:
    assert read([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]).text == "ab"


def test_what_is_no_completion_is_a_fault() -> None:
    for answer in ({"error": "x"}, [], "text", {"choices": None}):
        with pytest.raises(Fault, match="no completion"):
            read_reply(answer)
    assert read_reply({"choices": [None, {"message": None}]}).faults == ("empty", "empty")
