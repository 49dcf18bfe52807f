"""A person's session of judging steps of a run, for the terminal and the browser alike.

Each choice is on the disk before the next step is shown; a session goes on where it was left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import combinations

from sport.store import Run
from sport.verify.agreement import Agreement, Ballot, Choice, compare, draw, judged
from sport.verify.choices import ChoiceFile, check_person

Choices = Mapping[str, Choice]
VERIFIER = "the run's verifier"
"""What the verdicts in the trajectories are called."""


class SessionError(ValueError):
    """A session cannot be held; says why."""


class AgreeSession:
    """Steps drawn by lot, shown blind, and what a person chose among their candidates.

    Example::

        session = AgreeSession(Run.open("runs/mine"), "ann", steps=50)
        while (ballot := session.next()) is not None:
            session.record(ballot.key, choice)   # an index of ballot.step.candidates, or None
        session.summary()

    A ballot holds the verdict in its step: show ``ballot.shown`` alone.

    Attributes:
        ballots: The steps, in the order in which they are shown.
        choices: What was chosen, by ballot.
    """

    def __init__(self, run: Run, person: str | None, steps: int = 50, seed: int = 0) -> None:
        """Draws the steps, and reads what the person chose before.

        Args:
            run: The run; choices go to its ``agreement/<person>.jsonl``.
            person: Who judges: letters, digits, ``.``, ``_`` and ``-``; ``None`` for nobody, where
                only verifiers are compared.
            steps: How many steps are drawn.
            seed: Which, and in which order.

        Raises:
            SessionError: The name is none, or no step offers a choice.
        """
        try:
            self.person = None if person is None else check_person(person)
        except ValueError as error:
            raise SessionError(str(error)) from None
        self.ballots: list[Ballot] = draw(run.trajectories(), steps, seed)
        if not self.ballots:
            raise SessionError(f"{run.path} has no step with two different candidates")
        self._seed = seed
        self._by_key = {b.key: b for b in self.ballots}
        self._file = None if person is None else ChoiceFile(run.path, person)
        self.choices = self._recorded()
        self._skipped: set[str] = set()

    def _recorded(self) -> dict[str, Choice]:
        known = self._file.read() if self._file is not None else {}
        return {key: choice for key, choice in known.items() if key in self._by_key}

    @property
    def owed(self) -> list[Ballot]:
        """The steps that are still to be judged, those skipped left out."""
        return [b for b in self.ballots if b.key not in self.choices and b.key not in self._skipped]

    def next(self) -> Ballot | None:
        """The next step to be judged; ``None`` at the end."""
        return next(iter(self.owed), None)

    def skip(self, key: str) -> None:
        """Leaves a step out until the next session."""
        self._skipped.add(self._known(key).key)

    def record(self, key: str, choice: Choice) -> None:
        """Records a choice; one that was made before is replaced.

        Args:
            key: Of the ballot.
            choice: Index into the step's candidates, or ``None``: none is acceptable.

        Raises:
            SessionError: There is no such ballot or candidate, or nobody judges.
        """
        if self._file is None:
            raise SessionError("nobody judges in this session")
        ballot = self._known(key)
        if choice is not None and choice not in ballot.order:
            raise SessionError(f"step {key} has no candidate {choice}")
        self._file.add(ballot, choice)
        self.choices[key] = choice

    def summary(self, others: Mapping[str, Choices] | None = None) -> list[Agreement]:
        """How the person, the run's verifier and others agree, each with each.

        Args:
            others: Further raters with their choices, by ballot.
        """
        raters: dict[str, Choices] = {}
        if self.person is not None:
            raters[self.person] = self.choices
        raters[VERIFIER] = {b.key: b.step.verdict.best for b in self.ballots}
        raters.update(others or {})
        pairs = combinations(raters.items(), 2)
        return [compare(self.ballots, a, b, self._seed) for a, b in pairs]

    def _known(self, key: str) -> Ballot:
        if key not in self._by_key:
            raise SessionError(f"step {key!r} is none of those drawn")
        return self._by_key[key]


def judged_by(run: Run, name: str, ballots: Sequence[Ballot], seed: int) -> Choices:
    """The choices of another verifier, made now.

    Args:
        run: The run.
        name: ``rubric``, ``random``, ``oracle``, or a recipe whose ``[verifier]`` is asked.
        ballots: What is judged.
        seed: Of the order in which it sees candidates.

    Raises:
        RecipeError: There is no such recipe.
        RemoteError: Its server refuses, or is down.
    """
    from sport.assemble import entered, golds, make_verifier
    from sport.hosts import Hosts
    from sport.recipes import load_recipe
    from sport.workbench import Workbench

    known = golds(run.tasks())
    hosts = None
    if name in ("rubric", "random", "oracle"):
        verifier = make_verifier(name, known)
    else:
        recipe = load_recipe(name)
        hosts = Hosts(recipe, run.path)
        verifier = Workbench(recipe, hosts=hosts).verifier(known)

    async def main() -> Choices:
        async with entered(verifier):
            return await judged(ballots, verifier, seed)

    try:
        return asyncio.run(main())
    finally:
        if hosts is not None:
            hosts.close()
