"""The method itself: step sampling, step verification, preference tuning, and again.

:func:`explore` is the inner loop (paper, section 3.3), :func:`improve` the outer one (section
3.1). This module knows the interfaces only; what stands behind them is put together elsewhere.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sport.policy.base import ContextFull, Missing, Policy, Request, Sample, SamplingPlan
from sport.policy.messages import history, observe
from sport.sandbox.base import Sandbox, Snapshot
from sport.types import (
    Action,
    Candidate,
    End,
    File,
    Message,
    Outcome,
    Step,
    Task,
    Trajectory,
    Verdict,
    derive_seed,
)
from sport.verify.base import Verifier

NOT_JUDGED = Verdict(best=None, reason="A single sample: there was nothing to choose from.")
"""The verdict of a step without a verifier."""


async def explore(
    task: Task,
    policy: Policy,
    sandbox: Sandbox,
    verifier: Verifier | None = None,
    *,
    opening: Sequence[Message],
    plan: SamplingPlan,
    max_steps: int = 8,
    max_errors: int = 5,
    seed: int = 0,
    round: int = 0,
    seen: Callable[[Step], None] = lambda step: None,
) -> Trajectory:
    """Solves one task, n candidates a step, each executed in a world of its own.

    At each step the policy samples n actions from the same history, every one runs from the same
    snapshot, the verifier names the best, and the best one's world goes on. Without a verifier,
    which needs n = 1, it is plain single-sample solving: that is how policies are evaluated (D6).

    Args:
        task: The task. Policy and verifier see it without gold.
        policy: Samples the actions.
        sandbox: Runs their code.
        verifier: Names the best candidate of each step.
        opening: The messages that open the chat.
        plan: How the candidates are sampled.
        max_steps: Steps after which it ends.
        max_errors: Failed steps after which it ends.
        seed: The recipe's seed.
        round: The round of the loop.
        seen: Told of every step as it is taken.

    Raises:
        ValueError: Several candidates and no verifier.
        SandboxError: The sandbox itself fails; what a candidate does never raises.
    """
    if verifier is None and plan.n != 1:
        raise ValueError(f"{plan.n} candidates a step need a verifier that chooses among them")
    started = time.perf_counter()
    blind = task.blind()
    steps: list[Step] = []
    end: End | None = None
    detail = ""
    with workspace_of(blind.files) as folder:
        world = await sandbox.open(folder)
    try:
        while end is None:
            origin = (seed, round, task.id, len(steps))
            sample = await _sample(policy, history(opening, steps), plan, origin)
            if isinstance(sample, ContextFull):
                end, detail = "context_full", str(sample)
                break
            actions = [a for a in sample if isinstance(a, Action)]
            missing = tuple(m.reason for m in sample if isinstance(m, Missing))
            if not actions:
                end, detail = "unavailable", missing[0]
                break
            hold = verifier is not None
            outcomes = await _execute(sandbox, world, actions, derive_seed(*origin), hold)
            candidates = tuple(map(_candidate, actions, outcomes))
            verdict = await _judge(verifier, blind, steps, candidates, derive_seed(*origin, "v"))
            chosen = _choose(verdict, candidates)
            won = None if chosen is None else outcomes[chosen]
            if chosen is not None and won is not None and won.waits is not None:
                won = await sandbox.finish(won)
                candidates = _replaced(candidates, chosen, _candidate(actions[chosen], won))
            steps.append(
                Step(
                    index=len(steps),
                    candidates=candidates,
                    verdict=verdict,
                    chosen=chosen,
                    missing=missing,
                )
            )
            seen(steps[-1])
            end, detail = _ended(steps, max_steps, max_errors)
            if end is None and won is not None:
                world = await sandbox.commit(won)
    finally:
        await sandbox.discard(world)
    return Trajectory(
        task=blind,
        opening=tuple(opening),
        steps=tuple(steps),
        end=end,
        detail=detail,
        round=round,
        policy=policy.name,
        verifier=verifier.name if verifier else "",
        tier=sandbox.tier,
        seed=seed,
        seconds=time.perf_counter() - started,
    )


async def _sample(
    policy: Policy, messages: tuple[Message, ...], plan: SamplingPlan, origin: tuple[object, ...]
) -> Sample:
    """Step sampling: n actions from the same history."""
    seeds = tuple(derive_seed(*origin, j) for j in range(plan.n))
    [sample] = await policy.sample([Request(messages=messages, seeds=seeds, plan=plan)])
    return sample


async def _execute(
    sandbox: Sandbox, world: Snapshot, actions: Sequence[Action], seed: int, hold: bool
) -> list[Outcome | None]:
    """Runs every action from the same world; an action that does not parse never gets there.

    With ``hold``, what has side effects waits until one candidate is chosen.
    """
    readable = [j for j, action in enumerate(actions) if action.code is not None]
    codes = [code for action in actions if (code := action.code) is not None]
    outcomes: list[Outcome | None] = [None] * len(actions)
    if codes:
        for j, outcome in zip(readable, await sandbox.run(world, codes, seed, hold), strict=True):
            outcomes[j] = outcome
    return outcomes


def _candidate(action: Action, outcome: Outcome | None) -> Candidate:
    # The handle means nothing outside of the sandbox, and would make equal runs differ.
    kept = outcome.model_copy(update={"id": ""}) if outcome else None
    return Candidate(action=action, outcome=kept, observation=observe(action, outcome))


def _replaced(
    candidates: tuple[Candidate, ...], index: int, by: Candidate
) -> tuple[Candidate, ...]:
    return candidates[:index] + (by,) + candidates[index + 1 :]


async def _judge(
    verifier: Verifier | None,
    task: Task,
    steps: Sequence[Step],
    candidates: Sequence[Candidate],
    seed: int,
) -> Verdict:
    """Step verification: the best candidate, or none."""
    if verifier is None:
        return NOT_JUDGED
    verdict = await verifier.judge(task, steps, candidates, seed)
    if verdict.best is not None and verdict.best not in range(len(candidates)):
        raise ValueError(
            f"verifier {verifier.name!r} named candidate {verdict.best} of {len(candidates)}"
        )
    return verdict


def _choose(verdict: Verdict, candidates: Sequence[Candidate]) -> int | None:
    """The candidate that goes on: the best, or without a verdict the first that can (D2).

    One that ran to its end comes before one that waits before a call with side effects, since
    nobody said that it should be made. Then come those whose code failed, and those that could not
    be read, after which the world is as it was.
    """
    if verdict.best is not None:
        return verdict.best
    return min(
        (j for j, candidate in enumerate(candidates) if _lives(candidate)),
        key=lambda j: (*_reluctance(candidates[j]), j),
        default=None,
    )


def _reluctance(candidate: Candidate) -> tuple[bool, bool, bool]:
    outcome = candidate.outcome
    waits = outcome is not None and outcome.waits is not None
    return not candidate.ok, outcome is None, waits


def _lives(candidate: Candidate) -> bool:
    """Whether there is a world to go on from."""
    return candidate.outcome is None or candidate.outcome.status in ("ok", "error")


def _ended(steps: Sequence[Step], max_steps: int, max_errors: int) -> tuple[End | None, str]:
    winner = steps[-1].winner
    if winner is None or not _lives(winner):
        return "failed", "No candidate of the last step left a live world."
    if winner.outcome and winner.outcome.final_answer:
        return "finished", ""
    errors = sum(not (s.winner and s.winner.ok) for s in steps)
    if errors >= max_errors:
        return "max_errors", f"{errors} steps failed."
    if len(steps) >= max_steps:
        return "max_steps", f"No answer after {len(steps)} steps."
    return None, ""


@contextmanager
def workspace_of(files: Sequence[File]) -> Iterator[Path]:
    """A folder that holds a task's files, for the sandbox to copy in."""
    with tempfile.TemporaryDirectory(prefix="sport-task-") as name:
        folder = Path(name)
        for file in files:
            shutil.copyfile(file.path, folder / file.name)
        yield folder


class Stages(Protocol):
    """What a round is made of; every stage skips what has been done already.

    A policy is known by its adapter; ``None`` is the starting model as it is.
    """

    def start(self) -> Path | None:
        """The adapter that the first round starts from."""
        ...

    def synthesise(self, round: int) -> Sequence[Task]:
        """The tasks that a round explores."""
        ...

    def explore(
        self, tasks: Sequence[Task], adapter: Path | None, round: int
    ) -> Sequence[Trajectory]:
        """Step sampling and verification on the tasks."""
        ...

    def tune(
        self, trajectories: Sequence[Trajectory], adapter: Path | None, round: int
    ) -> Path | None:
        """Preference tuning, from ``adapter``; gives the next round's."""
        ...

    def evaluate(self, adapter: Path | None, round: int) -> None:
        """Measures what a round gave."""
        ...


def improve(stages: Stages, rounds: int) -> Path | None:
    """The outer loop: the tuned controller explores fresh tasks, and is tuned again.

    Args:
        stages: What the rounds are made of.
        rounds: Number of rounds.

    Returns:
        The adapter of the last round.
    """
    adapter = stages.start()
    stages.evaluate(adapter, round=0)
    for k in range(1, rounds + 1):
        tasks = stages.synthesise(k)
        trajectories = stages.explore(tasks, adapter, k)
        adapter = stages.tune(trajectories, adapter, k)
        stages.evaluate(adapter, k)
    return adapter
