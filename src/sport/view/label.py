"""`sport agree`'s blind choice in the browser: the same steps, the same file of choices."""

from __future__ import annotations

import getpass
import re
import threading
from collections.abc import Mapping

from sport.verify.agreement import Ballot, draw
from sport.verify.choices import ChoiceFile, check_person
from sport.view.book import Entry
from sport.view.site import Site, render
from sport.view.steps import Column, blind_columns

STEPS = 50
"""How many steps are drawn, as `sport agree` does."""


class Labels:
    """Steps to be judged, and who judged them."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._lock = threading.Lock()
        self._drawn: dict[str, tuple[str, list[Ballot]]] = {}
        self._skipped: set[tuple[str, str, str]] = set()

    def page(self, site: Site, entry: Entry, name: str) -> str:
        """The next step that a person has not judged yet."""
        person = check_person(name or _user())
        known = ChoiceFile(entry.run.path, person).read()
        ballots = self._ballots(entry)
        if all(b.key in known for b in ballots):
            ballots = self._ballots(entry, anew=True)
        owed = [b for b in ballots if b.key not in known]
        # What was skipped comes back at the end.
        owed.sort(key=lambda b: (entry.slug, person, b.key) in self._skipped)
        ballot = owed[0] if owed else None
        return render(
            "label.html",
            site,
            slug=entry.slug,
            run=entry.run,
            person=person,
            count=len(ballots),
            done=len(ballots) - len(owed),
            ballot=ballot,
            before=_before(ballot) if ballot else [],
            candidates=blind_columns(ballot.shown, ballot.task.images) if ballot else [],
        )

    def take(self, entry: Entry, form: Mapping[str, str]) -> str:
        """Records a choice, and returns who made it.

        Args:
            entry: The run.
            form: ``name``, ``step`` (the ballot's key) and ``choice``: the place shown from 1, 0
                for none, or ``s`` to skip.

        Raises:
            ValueError: It is no choice on a step that was drawn.
        """
        person = check_person(form.get("name", ""))
        ballot = next((b for b in self._ballots(entry) if b.key == form.get("step")), None)
        allowed = {"s", *map(str, range(len(ballot.order) + 1))} if ballot else set()
        answer = form.get("choice", "")
        if ballot is None or answer not in allowed:
            raise ValueError("That is no choice on a step that was drawn.")
        with self._lock:
            file = ChoiceFile(entry.run.path, person)
            if answer == "s":
                self._skipped.add((entry.slug, person, ballot.key))
            elif ballot.key not in file.read():
                file.add(ballot, None if answer == "0" else ballot.order[int(answer) - 1])
        return person

    def _ballots(self, entry: Entry, anew: bool = False) -> list[Ballot]:
        """The steps drawn; they stay the same while a run goes on, unless they are asked anew."""
        with self._lock:
            held = self._drawn.get(entry.slug)
            if held is None or (anew and held[0] != entry.state()):
                ballots = draw(entry.run.trajectories(), STEPS, seed=0)
                held = self._drawn[entry.slug] = (entry.state(), ballots)
            return held[1]


def _user() -> str:
    """A name for whoever gave none."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        user = ""
    return re.sub(r"[^\w.-]", "_", user).lstrip(".-") or "me"


def _before(ballot: Ballot) -> list[Column]:
    winners = [step.winner for step in ballot.before if step.winner is not None]
    return blind_columns(winners, ballot.task.images)
