import pytest

from sport.policy.base import Request, SamplingPlan
from sport.policy.scripted import ScriptedPolicy, action
from sport.types import Action, Message

PLAN = SamplingPlan(temperatures=(0.7, 1.2, 1.2))


def request(query: str, steps: int = 0) -> Request:
    said = (Message(role="assistant", text="a"), Message(role="user", text="Observation:\n1"))
    messages = (Message(role="user", text=f"Files: none\n{query}"), *said * steps)
    return Request(messages=messages, seeds=(1, 2, 3), plan=PLAN)


async def codes(policy: ScriptedPolicy, *requests: Request) -> list[list[str | None]]:
    answers = await policy.sample(requests)
    return [[a.code for a in x if isinstance(a, Action)] for x in answers if isinstance(x, list)]


async def test_steps_and_candidates_in_turn() -> None:
    policy = ScriptedPolicy([action("a"), [action("b"), action("c")]])
    assert await codes(policy, request("q"), request("q", 1)) == [["a"] * 3, ["b", "c", "b"]]


async def test_steps_by_query_and_by_function() -> None:
    by_query = ScriptedPolicy({"stars": [action("s")], "cost": [action("c")]})
    assert await codes(by_query, request("What cost?"), request("stars?")) == [["c"] * 3, ["s"] * 3]
    by_function = ScriptedPolicy(lambda r: action(str(len(r.messages))))
    assert await codes(by_function, request("q", 1)) == [["3"] * 3]


async def test_what_the_script_does_not_say_is_an_error() -> None:
    with pytest.raises(LookupError, match="1 steps, and step 2"):
        await ScriptedPolicy([action("a")]).sample([request("q", 1)])
    with pytest.raises(LookupError, match="0 keys"):
        await ScriptedPolicy({"x": [action("a")]}).sample([request("q")])
