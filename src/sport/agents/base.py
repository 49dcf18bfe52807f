"""The agents by name, and how each turns a controller into one.

====================  ============================================================================
``code``              the ReAct code agent of the loop: HF Agent, T3-Agent and SPORT Agent, which
                      differ in their controllers alone
``json``              ReAct, one tool by JSON at a time (Lego Agent)
``toolcall``          a plain loop of tool calls: a server's function calling, or the form that
                      chat templates have for it (Warm-up Agent)
``smolagents``        the ``CodeAgent`` of the library smolagents, its code in our sandbox
``no-tools``          the controller answers at once: what tools add is measured against it
====================  ============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sport.agents.formats import (
    Read,
    read_answer,
    read_json,
    read_tool_calls,
    write_code,
    write_json,
    write_tool_call,
)
from sport.policy.base import Policy, Request, Sample, SamplingPlan
from sport.policy.messages import ToolText
from sport.tools.function import Tool
from sport.types import Action, Step

AgentName = Literal["code", "json", "toolcall", "smolagents", "no-tools"]

Write = Callable[[str, str, Mapping[str, Any]], str]
"""Writes a thought and a call of a tool as the agent's model would."""


@dataclass(frozen=True)
class Agent:
    """How a controller acts.

    Attributes:
        name: Its name in recipes and rows.
        prompt: Its prompt; ``None`` takes the recipe's.
        read: Reads what the model wrote; ``None`` leaves it as the policy read it.
        write: The inverse, for scripts; ``None`` where scripts cannot act in its place.
        tools: Whether it has any.
        steps: How many steps it has at most; ``None`` takes the recipe's.
    """

    name: AgentName
    prompt: str | None = None
    read: Read | None = None
    write: Write | None = None
    tools: bool = True
    steps: int | None = None

    def drive(self, policy: Policy) -> Policy:
        """The policy as this agent's: its texts are read in the agent's format."""
        return policy if self.read is None else Rereading(policy, self.read)

    def tell(self, tools: Iterable[Tool]) -> Sequence[ToolText]:
        """The tools as its prompt lists them."""
        if not self.tools:
            return ()
        if self.name == "toolcall":
            return [Schema(json.dumps(schema(tool), ensure_ascii=False)) for tool in tools]
        return list(tools)


AGENTS: Mapping[AgentName, Agent] = {
    "code": Agent("code", write=write_code),
    "json": Agent("json", "json_agent", read_json, write_json),
    "toolcall": Agent("toolcall", "tool_agent", read_tool_calls, write_tool_call),
    "smolagents": Agent("smolagents", write=write_code),
    "no-tools": Agent("no-tools", "no_tools", read_answer, tools=False, steps=1),
}


@dataclass(frozen=True)
class Bounds:
    """How trajectories are sampled and when they end; see :func:`sport.loop.explore`."""

    plan: SamplingPlan
    max_steps: int
    max_errors: int
    seed: int
    round: int
    seen: Callable[[Step], None] = lambda step: None


class Rereading:
    """A policy whose texts are read in another format."""

    def __init__(self, policy: Policy, read: Read) -> None:
        """Samples from ``policy``, and reads with ``read``."""
        self.name = policy.name
        self._policy = policy
        self._read = read

    async def sample(self, requests: Sequence[Request]) -> Sequence[Sample]:
        """As the policy's; see :class:`sport.policy.base.Policy`."""
        return [self._reread(sample) for sample in await self._policy.sample(requests)]

    def _reread(self, sample: Sample) -> Sample:
        if isinstance(sample, Exception):  # the context is full
            return sample
        return [self._read(one) if isinstance(one, Action) else one for one in sample]


@dataclass(frozen=True)
class Schema:
    """A tool as JSON, in a prompt."""

    signature: str
    description: str = ""


def schema(tool: Tool) -> dict[str, Any]:
    """A tool as servers take it for function calling."""
    properties = {p.name: _property(p.adapter.json_schema()) for p in tool.parameters}
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": [p.name for p in tool.parameters if p.required],
            },
        },
    }


def _property(found: dict[str, Any]) -> dict[str, Any]:
    # "path" is a format of pydantic's; a model is to write a plain text.
    return {k: v for k, v in found.items() if (k, v) != ("format", "path")}
