"""The same candidates judged anew, for controls; and how verdicts agree with the oracle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sport.types import Gold, Record, Step, Trajectory, derive_seed
from sport.verify.base import Verifier
from sport.verify.controls import OracleVerifier


async def relabel(
    trajectories: Iterable[Trajectory], verifier: Verifier, seed: int
) -> list[Trajectory]:
    """Judges every step again; candidates and histories stay what they are.

    ``chosen`` stays too, since the later steps descend from it: in a relabelled trajectory it may
    differ from ``verdict.best``. Pairs come from the verdict.

    Args:
        trajectories: What was explored.
        verifier: Who judges now.
        seed: The recipe's seed; each step's own is derived from it.
    """
    return [await _relabel_one(t, verifier, seed) for t in trajectories]


async def _relabel_one(trajectory: Trajectory, verifier: Verifier, seed: int) -> Trajectory:
    steps: list[Step] = []
    for i, step in enumerate(trajectory.steps):
        own = derive_seed(seed, "relabel", trajectory.round, trajectory.task.id, step.index)
        before = trajectory.steps[:i]
        verdict = await verifier.judge(trajectory.task.blind(), before, step.candidates, own)
        steps.append(step.model_copy(update={"verdict": verdict}))
    return trajectory.model_copy(update={"steps": tuple(steps), "verifier": verifier.name})


def shuffle(trajectories: Iterable[Trajectory], seed: int) -> list[Trajectory]:
    """Verdicts that tell nothing: in every second step, by lot, another action is named best.

    It is one of the parsed candidates that differ from the best; so in each pair of such actions
    either is preferred as often as the other. Scores go, since they would tell who had been best.
    """
    return [
        trajectory.model_copy(
            update={"steps": tuple(_shuffled(trajectory, step, seed) for step in trajectory.steps)}
        )
        for trajectory in trajectories
    ]


def _shuffled(trajectory: Trajectory, step: Step, seed: int) -> Step:
    best = step.verdict.best
    if best is None:
        return step
    rng = random.Random(derive_seed(seed, trajectory.round, trajectory.task.id, step.index))
    mine = step.candidates[best].action.code
    codes = [c.action.code for c in step.candidates]
    others = [i for i, code in enumerate(codes) if code not in (None, mine)]
    if others and rng.random() < 0.5:
        best = rng.choice(others)
    verdict = step.verdict.model_copy(
        update={"best": best, "scores": None, "reason": "shuffled", "verifier": "shuffled"}
    )
    return step.model_copy(update={"verdict": verdict})


class Agreement(Record):
    """How a verifier's verdicts agree with the oracle's.

    A step offers a choice if some of its candidates are acceptable to the oracle and some are
    not; only there can a verifier be right or wrong.

    Attributes:
        steps: All steps.
        choices: Steps that offer a choice.
        right: Choices where an acceptable candidate was named.
        wrong: Choices where another one was named.
        abstained: Choices without a verdict.
        hopeless: Steps without any acceptable candidate.
        hopeless_named: Of these, how many got a verdict all the same.
        chance: Expected number of choices that naming by lot would get right.
    """

    steps: int = 0
    choices: int = 0
    right: int = 0
    wrong: int = 0
    abstained: int = 0
    hopeless: int = 0
    hopeless_named: int = 0
    chance: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """Share right of the choices with a verdict; ``None`` if there is none."""
        judged = self.right + self.wrong
        return self.right / judged if judged else None


class VerifierReport(Record):
    """A verifier's agreement with the oracle, in all and by kind of task.

    Attributes:
        overall: Over all steps.
        by_kind: Kinds in alphabetical order.
        skipped: Trajectories whose task has no gold answer.
    """

    overall: Agreement
    by_kind: dict[str, Agreement]
    skipped: int


def verifier_accuracy(
    trajectories: Iterable[Trajectory], golds: Mapping[str, Gold]
) -> VerifierReport:
    """Compares the verdicts in trajectories with the oracle's acceptable candidates.

    Args:
        trajectories: What was explored, with its verdicts.
        golds: The gold by task id; trajectories of other tasks are counted as skipped.
    """
    oracle = OracleVerifier(golds)
    counts: dict[str, Counter[str]] = {}
    chance: dict[str, float] = {}
    skipped = 0
    for trajectory in trajectories:
        gold = golds.get(trajectory.task.id)
        if gold is None or gold.answer is None:
            skipped += 1
            continue
        kind = trajectory.task.kind
        for i, step in enumerate(trajectory.steps):
            good = oracle.acceptable(trajectory.task, trajectory.steps[:i], step.candidates)
            counts.setdefault(kind, Counter()).update(_compare(step, good))
            if _is_choice(step, good):
                chance[kind] = chance.get(kind, 0.0) + len(good) / len(step.candidates)
    return VerifierReport(
        overall=_agreement(sum(counts.values(), Counter()), sum(chance.values())),
        by_kind={k: _agreement(counts[k], chance.get(k, 0.0)) for k in sorted(counts)},
        skipped=skipped,
    )


def _is_choice(step: Step, good: frozenset[int]) -> bool:
    return 0 < len(good) < len(step.candidates)


def _compare(step: Step, good: frozenset[int]) -> Sequence[str]:
    best = step.verdict.best
    if not good:
        named = ("hopeless_named",) if best is not None else ()
        return ("steps", "hopeless", *named)
    if not _is_choice(step, good):
        return ("steps",)
    fate = "abstained" if best is None else "right" if best in good else "wrong"
    return ("steps", "choices", fate)


def _agreement(counts: Counter[str], chance: float) -> Agreement:
    return Agreement(**{k: counts[k] for k in counts}, chance=chance)
