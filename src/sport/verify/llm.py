"""A verifier that asks a language model (paper, section 3.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sport.concurrency import all_of
from sport.policy.base import ContextFull
from sport.remote.client import ChatClient
from sport.remote.wire import to_wire
from sport.types import Candidate, Message, Step, Task, Verdict, Vote, derive_seed
from sport.verify.base import VerdictError
from sport.verify.honest import HonestVerifier
from sport.verify.prompt import PROMPT, Mode, judging_messages, schema
from sport.verify.replies import read_verdict

RE_ASKS = 2
"""How often a model is told what was wrong with its answer and asked again."""


class LLMVerifier:
    """Asks a model which candidate is best; candidates are shown in shuffled order (D5).

    With several votes every one sees another order, and the verdict is kept only if more than half
    of the votes name the same candidate. An answer that cannot be used is answered with what is
    wrong with it, at most :data:`RE_ASKS` times; then there is no verdict, and nothing is trained
    on the step (D2). Used as an asynchronous context, which holds the connections.

    Attributes:
        name: Written into every verdict and trajectory.
    """

    def __init__(
        self,
        client: ChatClient,
        *,
        mode: Mode = "best",
        votes: int = 1,
        images: bool = True,
        temperature: float = 0.0,
        max_new_tokens: int = 512,
        prompt: Path = PROMPT,
    ) -> None:
        """Takes a client and how to ask.

        Args:
            client: Asks the server.
            mode: What is asked for.
            votes: How many verdicts are asked for, each in an order of its own.
            images: Whether the model sees pictures.
            temperature: Of its answers.
            max_new_tokens: Longest answer.
            prompt: A file with a system and a user part.
        """
        self.name = f"llm:{client.model}"
        self._client = client
        self._votes = votes
        options = {"temperature": temperature, "max_tokens": max_new_tokens}
        asker = _Asker(self.name, client, mode, images, prompt, options)
        # It asks again by itself, with what was wrong; asking anew would forget that.
        self._voter = HonestVerifier(asker, attempts=1)

    async def __aenter__(self) -> Self:
        """Connects."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes the connections."""
        await self._client.transport.close()

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """The verdict of the votes' majority; see :class:`sport.verify.base.Verifier`.

        Raises:
            RemoteError: The server refuses for good, or is down.
        """
        seeds = [derive_seed(seed, "vote", i) for i in range(self._votes)]
        verdicts = await all_of([self._voter.judge(task, steps, candidates, own) for own in seeds])
        return verdicts[0] if self._votes == 1 else _majority(verdicts, self.name)


class _Asker:
    """Asks once for a verdict on candidates in the order given, and again where it is unusable."""

    def __init__(
        self,
        name: str,
        client: ChatClient,
        mode: Mode,
        images: bool,
        prompt: Path,
        options: dict[str, Any],
    ) -> None:
        self.name = name
        self._client, self._mode, self._images = client, mode, images
        self._prompt, self._options = prompt, options

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        n = len(candidates)
        chat = judging_messages(
            task, steps, candidates, self._mode, images=self._images, prompt=self._prompt
        )
        errors: list[str] = []
        for attempt in range(1 + RE_ASKS):
            text = await self._answer(chat, n, seed + attempt)
            try:
                return read_verdict(text, self._mode, n)
            except VerdictError as error:
                errors.append(str(error))
                self._client.meter.fault("unusable verdict")
                again = Message(role="user", text=f"This cannot be used: {error}. Answer again.")
                chat = (*chat, Message(role="assistant", text=text), again)
        raise VerdictError(f"{1 + RE_ASKS} answers, none usable: {'; '.join(errors)}")

    async def _answer(self, chat: Sequence[Message], n: int, seed: int) -> str:
        form = schema(self._mode, n)
        options = {**self._options, "seed": seed % 2**31, "response_format": form}
        try:
            found = await self._client.choices(to_wire(chat), 1, **options)
        except ContextFull as full:
            raise VerdictError(str(full)) from None
        if found.missing:
            raise VerdictError(f"no answer could be had: {found.missing[0]}")
        return found.had[0].text


def _majority(verdicts: Sequence[Verdict], name: str) -> Verdict:
    """The verdict of more than half of the votes, abstentions counted as votes for none."""
    votes = tuple(Vote(best=v.best, order=v.order) for v in verdicts)
    best, times = Counter(v.best for v in verdicts).most_common(1)[0]
    agreed = times > len(verdicts) / 2
    told = next(v for v in verdicts if v.best == best)
    counts = f"{times} of {len(verdicts)} votes"
    reason = f"{counts}: {told.reason}" if agreed else f"votes differ: at most {counts} agree"
    return Verdict(
        best=best if agreed else None,
        reason=reason,
        scores=_mean_scores(verdicts) if agreed else None,
        verifier=name,
        votes=votes,
    )


def _mean_scores(verdicts: Sequence[Verdict]) -> tuple[float, ...] | None:
    """The mean of the votes' scores, where every vote gave scores."""
    scores = [v.scores for v in verdicts if v.scores is not None]
    if len(scores) < len(verdicts):
        return None
    return tuple(sum(own) / len(own) for own in zip(*scores, strict=True))
