"""The records of SPORT: what crosses a disk, a process or a stage.

Every record is a frozen pydantic model and serialises to JSON. Data flows one way::

    Task -> Action -> Outcome -> Observation -> Candidate -> Verdict -> Step -> Trajectory
         -> PreferencePair

Notation (paper, section 3): a task is a query with files ``F``; at step ``i`` the controller
samples ``n`` candidate actions ``a_i = (t_i, c_i)`` (thought, code) from the history ``h_i``;
executing one gives the observation ``o_i``; the verifier names the best candidate.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator

TIMING = frozenset({"seconds", "cpu_s", "wall_s", "started"})
"""Names of the fields that may differ between two equal runs (see :func:`without_timing`)."""

END_OF_ACTION = "<end_action>"
"""The marker that ends every action; its log-probability counts in training."""


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_DIGEST = re.compile(r"[\w-]{1,128}", re.ASCII)  # nothing that could lead out of the folder


class File(Record):
    """A file of a task: its name in the workspace and the blob that holds its bytes.

    Attributes:
        name: File name inside the candidate's workspace, such as ``image_0.png``.
        sha256: Hex digest of the bytes; the address of the blob.
        media_type: Such as ``image/png``.
        source: What the user called it, shown in reports; never opened.
        caption: What it shows, for a verifier that sees no pictures; ``""`` if nobody said.
        blobs: Folder of the blob store that holds the bytes. It is where the record lives, not
            what it is: it is not serialised, and is set again from the validation context
            ``{"blobs": Path}`` when a run is read.
    """

    name: str
    sha256: str
    media_type: str
    source: str = ""
    caption: str = ""
    blobs: Path = Field(default=Path("."), exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _locate(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict) and info.context and "blobs" in info.context:
            return {**data, "blobs": str(info.context["blobs"])}
        return data

    @property
    def path(self) -> Path:
        """Where the bytes lie.

        Raises:
            ValueError: The digest is none: in a run of somebody else's it could be any path.
        """
        if not _DIGEST.fullmatch(self.sha256):
            raise ValueError(f"{self.name}: {self.sha256[:80]!r} is no SHA-256 digest")
        return self.blobs / self.sha256[:2] / self.sha256

    @property
    def is_image(self) -> bool:
        """Whether a vision-language model can look at it."""
        return self.media_type.startswith("image/")


class Gold(Record):
    """What only scoring and the oracle may see.

    Attributes:
        answer: The right answer: a number, a text, or any JSON value.
        tools: The gold chain of tools, in order, ``final_answer`` left out.
    """

    answer: JsonValue = None
    tools: tuple[str, ...] = ()


class Task(Record):
    """A query over files, to be solved with tools (paper, section 3.2).

    Attributes:
        id: Unique within a run.
        query: What the user asks.
        files: Files of the task, in the order in which the query's author gave them (D7).
        kind: Family of the task, for break-downs in reports; ``""`` if there is none.
        gold: For scoring alone. :meth:`blind` removes it.
    """

    id: str
    query: str
    files: tuple[File, ...] = ()
    kind: str = ""
    gold: Gold | None = None

    def blind(self) -> Task:
        """The task as policies and verifiers may see it: without gold."""
        return self.model_copy(update={"gold": None})

    @property
    def images(self) -> tuple[File, ...]:
        """The files that are images, in order."""
        return tuple(f for f in self.files if f.is_image)


class Message(Record):
    """One turn of a chat; its images come before its text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[File, ...] = ()


class Action(Record):
    """One sampled action ``a_i = (t_i, c_i)``.

    Attributes:
        text: The model's text, verbatim, with its end marker if it wrote one.
        thought: The parsed thought ``t_i``.
        code: The parsed code ``c_i``; ``None`` if the text holds none that can be read.
        error: Why the text could not be parsed; ``None`` if it was.
        finish: ``stop`` if the model ended the action, ``length`` if it ran out of tokens.
        temperature: The temperature it was sampled at.
        logp: Sum of the log-probabilities of its tokens under the sampling policy at temperature
            1, in nats, where the policy can tell.
    """

    text: str
    thought: str = ""
    code: str | None = None
    error: str | None = None
    finish: Literal["stop", "length"] = "stop"
    temperature: float = 0.0
    logp: float | None = None


class CodeError(Record):
    """An exception that a candidate's code raised.

    Attributes:
        type: Name of the exception's class.
        message: Its message, shortened.
        line: Line of the candidate's own code, from 1; ``None`` where there is none.
    """

    type: str
    message: str
    line: int | None = None


class ToolCall(Record):
    """One call of a tool by a candidate.

    Attributes:
        name: Name of the tool.
        arguments: Its arguments by name, as JSON.
        result: What it returned, as JSON; ``None`` if it failed.
        error: Why it failed; ``None`` if it did not.
        seconds: Wall time of the call.
    """

    name: str
    arguments: dict[str, JsonValue]
    result: JsonValue = None
    error: str | None = None
    seconds: float = 0.0


class ProducedFile(Record):
    """A file that a candidate created or changed; ``path`` is relative to the workspace."""

    path: str
    size: int
    sha256: str


class FinalAnswer(Record):
    """The argument of ``final_answer(x)``: any JSON value (D7)."""

    value: JsonValue


Status = Literal["ok", "error", "timeout", "memory", "disk", "died"]


class Outcome(Record):
    """What the sandbox saw when it ran one candidate's code.

    Attributes:
        id: Handle of the candidate's world inside its sandbox; meaningless outside of it.
        status: How the run ended.
        stdout: What was printed, capped.
        truncated: Whether ``stdout`` was capped.
        error: The exception, where ``status`` is ``error``.
        value: ``repr`` of a last expression, capped; ``None`` if there is none.
        final_answer: Set if ``final_answer(x)`` was called.
        files: Files created or changed.
        tool_calls: In the order of the calls.
        waits: The call of a tool with side effects that the code stands still before: it is made
            only if the candidate is chosen, which then runs on.
        notes: One-line remarks that the model must see, such as "other threads ended".
        cpu_s: CPU time of the candidate, in seconds.
        wall_s: Wall time of the candidate, in seconds.
    """

    id: str = ""
    status: Status = "ok"
    stdout: str = ""
    truncated: bool = False
    error: CodeError | None = None
    value: str | None = None
    final_answer: FinalAnswer | None = None
    files: tuple[ProducedFile, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    waits: ToolCall | None = None
    notes: tuple[str, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Observation(Record):
    """What the model sees of an outcome: ``o_i``. Context, never a training target.

    Attributes:
        text: The observation.
        images: Images that the candidate produced, in order.
    """

    text: str
    images: tuple[File, ...] = ()


class Candidate(Record):
    """A sampled action with what came of it.

    ``outcome`` is ``None`` where nothing ran: the action did not parse, or could not be had.
    """

    action: Action
    outcome: Outcome | None
    observation: Observation

    @property
    def ok(self) -> bool:
        """Whether it parsed and its code ran without error."""
        return self.outcome is not None and self.outcome.status == "ok"


class Vote(Record):
    """One of several verdicts on the same step: whom it names, and the order that it saw."""

    best: int | None
    order: tuple[int, ...]


class Verdict(Record):
    """A verifier's choice among the candidates of one step.

    Attributes:
        best: Index of the best candidate; ``None`` if the verifier abstained or failed: nothing
            is trained on such a step (D2).
        reason: Why, in words a person can read.
        scores: One score a candidate, higher is better, where the verifier gives scores.
        order: The order in which the candidates were shown (D5); empty if it does not matter.
        verifier: Name of the verifier.
        attempts: How many times it was asked.
        votes: What it was made of, where several votes were taken; ``order`` is then empty.
    """

    best: int | None
    reason: str
    scores: tuple[float, ...] | None = None
    order: tuple[int, ...] = ()
    verifier: str = ""
    attempts: int = 1
    votes: tuple[Vote, ...] = ()


class Step(Record):
    """One step of a trajectory: all its candidates, the verdict, and the one that went on.

    ``chosen`` differs from ``verdict.best`` only where there was no verdict; it is ``None`` where
    no candidate left a live world. ``missing`` holds a reason for each candidate that a server did
    not give: the others are judged without it.
    """

    index: int
    candidates: tuple[Candidate, ...]
    verdict: Verdict
    chosen: int | None
    missing: tuple[str, ...] = ()

    @property
    def winner(self) -> Candidate | None:
        """The candidate whose world goes on."""
        return None if self.chosen is None else self.candidates[self.chosen]


End = Literal["finished", "max_steps", "max_errors", "context_full", "unavailable", "failed"]


class Trajectory(Record):
    """All that happened on one task, from the query to the answer.

    Attributes:
        task: The task, without gold.
        opening: The messages that open the chat, as the policy saw them: system prompt where
            there is one, and the query with its files.
        steps: The steps, in order.
        end: Why it ended.
        detail: A sentence on the end, where there is something to say.
        round: The round of the loop (0 is the starting policy).
        policy: Versioned name of the policy that sampled it.
        verifier: Name of the verifier; ``""`` for single-sample runs.
        tier: What the sandbox promised: ``strong``, ``standard`` or ``unsafe_local``.
        seed: The recipe's seed.
        seconds: Wall time.
    """

    task: Task
    opening: tuple[Message, ...]
    steps: tuple[Step, ...]
    end: End
    detail: str = ""
    round: int = 0
    policy: str = ""
    verifier: str = ""
    tier: str = ""
    seed: int = 0
    seconds: float = 0.0

    @property
    def final_answer(self) -> FinalAnswer | None:
        """The answer that the trajectory gave, if it gave one."""
        winner = self.steps[-1].winner if self.steps else None
        return winner.outcome.final_answer if winner and winner.outcome else None

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the chosen candidates called, in order."""
        return tuple(
            call.name
            for step in self.steps
            if step.winner and step.winner.outcome
            for call in step.winner.outcome.tool_calls
        )


class PreferencePair(Record):
    """A step-wise preference ``(x_i, a_pre, a_dis)`` with its origin (paper, section 3.4).

    The history ``x_i`` is not copied: it is the trajectory's up to ``step``.
    """

    task_id: str
    round: int
    step: int
    chosen: int
    rejected: int


def without_timing(value: Any) -> Any:
    """A JSON value with every field named in :data:`TIMING` removed, at any depth."""
    if isinstance(value, dict):
        return {k: without_timing(v) for k, v in value.items() if k not in TIMING}
    if isinstance(value, list | tuple):
        return [without_timing(v) for v in value]
    return value


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from its parts, equal on every machine and in every process.

    Call it with (recipe seed, round, task id, step, candidate): never with a path or the time.
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
