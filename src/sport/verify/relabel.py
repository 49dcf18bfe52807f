"""The same candidates judged anew, for controls; and how verdicts agree with the oracle."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sport.types import Gold, Record, Step, Trajectory, Verdict, derive_seed
from sport.verify.base import Verifier
from sport.verify.controls import ERRORS, OracleVerifier, best_of


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
    """Verdicts that tell nothing: those that were given are dealt out anew among the steps.

    So the steps of a task get other steps' verdicts, and each place among the candidates is named
    best, and each abstention made, as often as before. A verdict goes to a step with as many
    candidates. Scores go, since they would tell who had been best.
    """
    told = list(trajectories)
    hands: defaultdict[int, list[int | None]] = defaultdict(list)
    for step in (s for t in told for s in t.steps):
        hands[len(step.candidates)].append(step.verdict.best)
    rng = random.Random(seed)
    for size in sorted(hands):
        rng.shuffle(hands[size])
    return [
        t.model_copy(update={"steps": tuple(_dealt(s, hands[len(s.candidates)]) for s in t.steps)})
        for t in told
    ]


def _dealt(step: Step, hand: list[int | None]) -> Step:
    verdict = Verdict(best=hand.pop(), reason="shuffled", verifier="shuffled")
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


class Temptation(Record):
    """How often a kind of error was named best where a candidate without one stood beside it.

    Attributes:
        met: Choices with a verdict in which some candidate makes this error.
        named: Those in which such a candidate was named.
    """

    met: int = 0
    named: int = 0


class VerifierReport(Record):
    """A verifier's agreement with the oracle, in all, by kind of task and by kind of error.

    Attributes:
        overall: Over all steps.
        by_kind: Kinds in alphabetical order.
        by_error: What a verifier was tempted by, by :data:`sport.verify.controls.ERRORS`.
        skipped: Trajectories whose task has no gold answer.
    """

    overall: Agreement
    by_kind: dict[str, Agreement]
    by_error: dict[str, Temptation]
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
    met: Counter[str] = Counter()
    named: Counter[str] = Counter()
    skipped = 0
    for trajectory in trajectories:
        gold = golds.get(trajectory.task.id)
        if gold is None or gold.answer is None:
            skipped += 1
            continue
        kind = trajectory.task.kind
        for i, step in enumerate(trajectory.steps):
            scores = oracle.scores(trajectory.task, trajectory.steps[:i], step.candidates)
            good = best_of(scores)
            counts.setdefault(kind, Counter()).update(_compare(step, good))
            if not _is_choice(step, good):
                continue
            chance[kind] = chance.get(kind, 0.0) + len(good) / len(step.candidates)
            if (best := step.verdict.best) is not None:
                met.update({ERRORS[x] for j, x in enumerate(scores) if j not in good})
                named.update({ERRORS[scores[best]]} if best not in good else ())
    return VerifierReport(
        overall=_agreement(sum(counts.values(), Counter()), sum(chance.values())),
        by_kind={k: _agreement(counts[k], chance.get(k, 0.0)) for k in sorted(counts)},
        by_error={e: Temptation(met=met[e], named=named[e]) for e in ERRORS.values() if met[e]},
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
