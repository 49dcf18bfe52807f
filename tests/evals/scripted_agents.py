"""Policies that know the pocket world's answers and act in the format of each agent."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from sport.agents.base import AGENTS
from sport.pocket.benchmark import PocketBenchmark
from sport.policy.base import Request
from sport.policy.parse import parse_action
from sport.types import Action

_TASKS = PocketBenchmark(Path(tempfile.mkdtemp(prefix="sport-test-")), dev=1, test=6).tasks("test")


class Knowing:
    """Searches first, and then gives the answer; of every third task a wrong one."""

    def __init__(self, agent: str) -> None:
        self.name = f"knowing-{agent}"
        self._write = AGENTS[agent].write  # type: ignore[index]

    async def sample(self, requests: Sequence[Request]) -> list[list[Action]]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> list[Action]:
        said = "\n".join(m.text for m in request.messages)
        [place] = [i for i, task in enumerate(_TASKS) if task.query in said]
        answer = "wrong" if place % 3 == 2 else _TASKS[place].gold.answer  # type: ignore[union-attr]
        if self._write is None:
            text = str(answer)
        elif not any(m.role == "assistant" for m in request.messages):
            text = self._write("I search.", "ask_search_agent", {"query": "price of tea"})
        else:
            text = self._write("I know it.", "final_answer", {"answer": answer})
        return [parse_action(text, temperature=t) for t in request.plan.temperatures]


code = Knowing("code")
json = Knowing("json")
toolcall = Knowing("toolcall")
smolagents = Knowing("smolagents")
no_tools = Knowing("no-tools")
