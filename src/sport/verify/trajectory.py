"""Verifiers of whole trajectories: those that may serve as examples are kept (the T3 stage).

T3-Agent (arXiv 2412.15606, section 3.4) tunes on trajectories of a stronger model of which a
verifier kept about half. What is dropped is dropped with a reason that is counted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol, Self

from sport.policy.base import ContextFull
from sport.policy.messages import load_prompt
from sport.remote.client import ChatClient
from sport.remote.wire import to_wire
from sport.types import Message, Record, Trajectory, derive_seed
from sport.verify.base import VerdictError
from sport.verify.llm import RE_ASKS
from sport.verify.prompt import files_text, step_text
from sport.verify.replies import objects

PROMPT = Path(__file__).parent / "prompts" / "keep.md"
"""The prompt that is shipped."""

KEPT = "kept"
"""The reason of what is kept."""

_FIELD = re.compile(r"\{(query|files|steps|answer)\}")
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "opinion",
        "schema": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "keep": {"type": "boolean"}},
            "required": ["reason", "keep"],
            "additionalProperties": False,
        },
    },
}


class Opinion(Record):
    """What is thought of a whole trajectory.

    Attributes:
        keep: Whether it may be tuned on.
        reason: Why, in one of a few kinds, which are counted.
        detail: Why, in the verifier's own words.
    """

    keep: bool
    reason: str
    detail: str = ""


class TrajectoryVerifier(Protocol):
    """Keeps or drops whole trajectories."""

    async def consider(self, trajectory: Trajectory) -> Opinion:
        """Whether a trajectory may be tuned on; a failure to decide drops it, with that reason."""
        ...


class TrajectoryRules:
    """Keeps what answered, by what a tool showed, with few failed steps."""

    def __init__(self, max_failed_steps: int = 1) -> None:
        """Takes how many steps may have failed."""
        self._max_failed = max_failed_steps

    async def consider(self, trajectory: Trajectory) -> Opinion:
        """See :class:`TrajectoryVerifier`."""
        return self.apply(trajectory)

    def apply(self, trajectory: Trajectory) -> Opinion:
        """The rules, one after the other; the first that is broken is the reason."""
        answer = trajectory.final_answer
        if trajectory.end != "finished" or answer is None:
            return Opinion(keep=False, reason="no answer", detail=trajectory.end)
        if answer.value is None or answer.value in ("", [], {}):
            return Opinion(keep=False, reason="empty answer")
        failed = sum(not (s.winner and s.winner.ok) for s in trajectory.steps)
        if failed > self._max_failed:
            return Opinion(keep=False, reason="too many failed steps", detail=f"{failed} failed")
        if trajectory.task.files and not _looked(trajectory):
            return Opinion(
                keep=False, reason="answered without looking", detail="no tool showed anything"
            )
        return Opinion(keep=True, reason=KEPT)


class LLMTrajectoryVerifier:
    """Asks a language model about those that the rules keep, from the query to the answer.

    An answer that cannot be used is answered with what is wrong with it, twice at most; then the
    trajectory is dropped as undecided. Used as an asynchronous context, which holds the
    connections.
    """

    def __init__(
        self,
        client: ChatClient,
        rules: TrajectoryRules,
        *,
        images: bool = True,
        temperature: float = 0.0,
        max_new_tokens: int = 512,
        prompt: Path = PROMPT,
    ) -> None:
        """Takes a client, the rules that come first, and how to ask.

        Raises:
            ValueError: The prompt shows no steps.
        """
        if "{steps}" not in "".join(text for _, text in load_prompt(str(prompt))):
            raise ValueError(f"{prompt}: the prompt must contain {{steps}}")
        self._client, self._rules, self._images, self._prompt = client, rules, images, prompt
        self._options = {
            "temperature": temperature,
            "max_tokens": max_new_tokens,
            "response_format": _SCHEMA,
        }

    async def __aenter__(self) -> Self:
        """Connects."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes the connections."""
        await self._client.transport.close()

    async def consider(self, trajectory: Trajectory) -> Opinion:
        """See :class:`TrajectoryVerifier`.

        Raises:
            RemoteError: The server refuses for good, or is down.
        """
        first = self._rules.apply(trajectory)
        if not first.keep:
            return first
        chat = self._chat(trajectory)
        seed = derive_seed(trajectory.seed, trajectory.round, trajectory.task.id, "keep")
        errors: list[str] = []
        for attempt in range(1 + RE_ASKS):
            try:
                text = await self._answer(chat, seed + attempt)
                return _read(text)
            except _Unusable as error:
                self._client.meter.fault("unusable verdict")
                errors.append(str(error))
                again = Message(role="user", text=f"This cannot be used: {error}. Answer again.")
                chat = (*chat, Message(role="assistant", text=error.text), again)
            except VerdictError as error:
                errors.append(str(error))
                break
        return Opinion(keep=False, reason="undecided", detail="; ".join(errors))

    async def _answer(self, chat: tuple[Message, ...], seed: int) -> str:
        try:
            found = await self._client.choices(to_wire(chat), 1, **self._options, seed=seed % 2**31)
        except ContextFull as full:
            raise VerdictError(str(full)) from None
        if found.missing:
            raise VerdictError(f"no answer could be had: {found.missing[0]}")
        return found.had[0].text

    def _chat(self, trajectory: Trajectory) -> tuple[Message, ...]:
        task, answer = trajectory.task, trajectory.final_answer
        values = {
            "query": task.query,
            "files": files_text(task.files, captions=not self._images),
            "steps": "\n\n".join(step_text(s) for s in trajectory.steps if s.winner),
            "answer": str(answer.value) if answer else "none",
        }
        return tuple(
            Message(
                role=role,
                text=_FIELD.sub(lambda m: values[m[1]], template),
                images=task.images if role == "user" and self._images else (),
            )
            for role, template in load_prompt(str(self._prompt))
        )


class _Unusable(VerdictError):
    """An answer that says neither yes nor no."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


def _read(text: str) -> Opinion:
    found = [data for data in objects(text) if "keep" in data]
    if not found or not isinstance(found[-1]["keep"], bool):
        raise _Unusable(
            f'there is no JSON object with "keep" true or false in {text[:200]!r}', text
        )
    keep, detail = found[-1]["keep"], str(found[-1].get("reason") or "no reason given")
    return Opinion(keep=keep, reason=KEPT if keep else "the verifier found it wrong", detail=detail)


def _looked(trajectory: Trajectory) -> bool:
    return any(
        call.error is None and call.result not in (None, "", [], {})
        for step in trajectory.steps
        if step.winner and step.winner.outcome
        for call in step.winner.outcome.tool_calls
    )
