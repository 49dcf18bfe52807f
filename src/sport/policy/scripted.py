"""A controller that says what it is told to: for tests, demonstrations and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sport.policy.base import ContextFull, Request
from sport.policy.parse import parse_action
from sport.types import Action

Texts = str | Sequence[str]
"""The candidates of one step: a text for all of them, or texts that are dealt out in turn."""

Steps = Sequence[Texts]
"""What is said at the first step, at the second, and so on."""


class ScriptedPolicy:
    """Answers from a script instead of a model.

    Example::

        ScriptedPolicy([action('print(1)'), [action('final_answer(1)'), 'no code']])
        ScriptedPolicy({"How many stars": [...], "How much": [...]})
        ScriptedPolicy(lambda request: "..." if len(request.messages) == 1 else [...])

    Attributes:
        name: Versioned name, written into every trajectory.
    """

    def __init__(
        self,
        script: Steps | Mapping[str, Steps] | Callable[[Request], Texts],
        name: str = "scripted",
    ) -> None:
        """Takes the script.

        Args:
            script: Steps for every task; or steps by a part of the opening's text (the query, or
                some words of it); or a function of the request.
            name: Versioned name.
        """
        self.name = name
        self._script = script

    async def sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
        """The script's actions; see :class:`sport.policy.base.Policy`."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> list[Action]:
        texts = self._script(request) if callable(self._script) else self._look_up(request)
        dealt = [texts] if isinstance(texts, str) else list(texts)
        return [
            parse_action(dealt[i % len(dealt)], temperature=temperature)
            for i, temperature in enumerate(request.plan.temperatures)
        ]

    def _look_up(self, request: Request) -> Texts:
        assert not callable(self._script)
        steps = self._script
        if isinstance(steps, Mapping):
            opening = next(m.text for m in request.messages if m.role == "user")
            fitting = [key for key in steps if key in opening]
            if len(fitting) != 1:
                raise LookupError(f"{len(fitting)} keys of the script fit {opening!r}: {fitting}")
            steps = steps[fitting[0]]
        step = sum(m.role == "assistant" for m in request.messages)
        if step >= len(steps):
            raise LookupError(f"the script has {len(steps)} steps, and step {step + 1} is wanted")
        return steps[step]


def action(code: str, thought: str = "") -> str:
    """The text of an action with this code, in the paper's format."""
    return f"Thought: {thought}\nCode:\n```py\n{code}\n```<end_action>"
