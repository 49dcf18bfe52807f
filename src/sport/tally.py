"""What a stage has counted so far: steps, candidates, verdicts, errors, answers, money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sport.types import Step
from sport.untrusted import clip, shown


@dataclass
class Tally:
    """Counts of a stage that is under way.

    Attributes:
        steps: Steps taken.
        candidates: Candidates run.
        abstained: Steps with a choice but without a verdict.
        errors: What candidates ended with, other than well.
        right: Right answers.
        scored: Answers that could be scored.
        spent: Says what was spent of the budget, in words; empty where nothing was.
    """

    steps: int = 0
    candidates: int = 0
    abstained: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    right: int = 0
    scored: int = 0
    spent: Callable[[], str] = lambda: ""

    def step(self, step: Step) -> None:
        """A step was taken."""
        self.steps += 1
        self.candidates += len(step.candidates)
        self.abstained += len(step.candidates) > 1 and step.verdict.best is None
        for candidate in step.candidates:
            outcome = candidate.outcome
            if outcome is None:
                self.errors["unparsed"] += 1
            elif not candidate.ok:
                name = outcome.error.type if outcome.error else outcome.status
                self.errors[clip(shown(name).replace("\n", " "), 60)] += 1

    def answer(self, right: bool | None) -> None:
        """A trajectory ended; ``None`` where its answer cannot be scored."""
        if right is not None:
            self.scored += 1
            self.right += right

    def words(self, seconds: float) -> list[str]:
        """The counts in words, those that say something.

        Args:
            seconds: Time that they took.
        """
        found = []
        if self.steps and seconds > 0:
            found.append(f"{self.steps} steps, {self.steps / seconds:.1f} a second")
        if self.candidates > self.steps and seconds > 0:
            found.append(f"{self.candidates} candidates, {self.candidates / seconds:.1f} a second")
        if self.scored:
            found.append(f"AnsAcc so far {self.right / self.scored:.1%} of {self.scored}")
        if self.abstained:
            found.append(f"{self.abstained} abstained")
        if self.errors:
            errors = self.errors.copy()  # others count on while this is read
            named = ", ".join(f"{name} {n}" for name, n in errors.most_common(4))
            found.append(f"errors: {named}")
        return [*found, *filter(None, [self.spent()])]
