"""`sport agree`: how far a verifier can be trusted, by a person's own choices."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.store import Run
    from sport.types import Candidate, Step
    from sport.verify.agreement import Agreement, Ballot, Choice

Choices = Mapping[str, "Choice"]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(agree)


def agree(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    steps: Annotated[int, typer.Option(min=1, help="How many steps are drawn.")] = 50,
    name: Annotated[str, typer.Option(help="Who judges.")] = "",
    judge: Annotated[
        list[str] | None,
        typer.Option(help="Another verifier: rubric, random, oracle, or a recipe with its own."),
    ] = None,
    ask: Annotated[bool, typer.Option(help="Whether a person is asked.")] = True,
    seed: Annotated[int, typer.Option(help="Which steps are drawn.")] = 0,
) -> None:
    """Shows steps blind, records your choices, and prints how you and verifiers agree."""
    with guarded(f"sport agree {run}"):
        from sport.store import Run
        from sport.verify.agreement import draw

        opened = Run.open(run)
        ballots = draw(opened.trajectories(), steps, seed)
        if not ballots:
            raise typer.BadParameter(f"{run} has no step with two different candidates")
        raters: dict[str, Choices] = {}
        if ask:
            person = _person(name)
            raters[person] = _asked(opened.path, person, ballots)
        raters["the run's verifier"] = {b.key: b.step.verdict.best for b in ballots}
        for other in judge or []:
            raters[other] = _judged(opened, other, ballots, seed)
        _print(ballots, raters, seed)


def _person(name: str) -> str:
    from sport.verify.choices import check_person

    try:
        return check_person(name or getpass.getuser())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _asked(run: Path, person: str, ballots: Sequence[Ballot]) -> dict[str, Choice]:
    """A person's choices: those recorded before, and those given now."""
    from sport.verify.choices import ChoiceFile

    file = ChoiceFile(run, person)
    known = file.read()
    owed = [b for b in ballots if b.key not in known]
    for place, ballot in enumerate(owed, 1):
        _show(ballot, f"{place} of {len(owed)}")
        answer = _answer(len(ballot.order))
        if answer == "q":
            break
        if answer == "s":
            continue
        choice = None if answer == "0" else ballot.order[int(answer) - 1]
        file.add(ballot, choice)
        known[ballot.key] = choice
    return known


def _answer(n: int) -> str:
    allowed = [*map(str, range(n + 1)), "s", "q"]
    while True:
        answer = str(
            typer.prompt(f"The best (1 to {n}, 0 none, s skip, q stop)", prompt_suffix=": ")
        ).strip()
        if answer in allowed:
            return answer
        stdout.print(f"{answer!r} is none of {', '.join(allowed)}.", markup=False)


def _show(ballot: Ballot, title: str) -> None:
    stdout.rule(title)
    _say(f"Task: {ballot.task.query}")
    for file in ballot.task.files:
        _say(f"File: {file.name} ({file.path})")
    for step in ballot.before:
        _show_step(step)
    for number, candidate in enumerate(ballot.shown, 1):
        _say(f"\n=== {number} ===")
        _show_candidate(candidate)


def _show_step(step: Step) -> None:
    if step.winner is not None:
        _say(f"\nStep {step.index + 1}, done before:")
        _show_candidate(step.winner)


def _show_candidate(candidate: Candidate) -> None:
    action = candidate.action
    _say(f"Thought: {action.thought}")
    _say(action.code if action.code is not None else action.text)
    _say(f"-> {candidate.observation.text}")


def _say(text: str) -> None:
    from sport.view.text import shown

    stdout.print(shown(text), markup=False, soft_wrap=True)


def _judged(run: Run, name: str, ballots: Sequence[Ballot], seed: int) -> Choices:
    """The choices of another verifier, made now."""
    from sport.assemble import Workbench, entered, golds, make_verifier
    from sport.config import load_recipe
    from sport.verify.agreement import judged

    known = golds(run.tasks())
    if name in ("rubric", "random", "oracle"):
        verifier = make_verifier(name, known)
    else:
        verifier = Workbench(load_recipe(name)).verifier(known)

    async def main() -> dict[str, Choice]:
        async with entered(verifier):
            return await judged(ballots, verifier, seed)

    return asyncio.run(main())


def _print(ballots: Sequence[Ballot], raters: Mapping[str, Choices], seed: int) -> None:
    from sport.evals.table import percent
    from sport.verify.agreement import compare

    stdout.print("\nAgreement, with 95 % intervals:")
    for first, second in combinations(raters.items(), 2):
        found = compare(ballots, first, second, seed)
        _say(
            f"{found.first} and {found.second}: the same in "
            f"{percent(found.share, found.interval)} % of {found.both} steps; "
            f"Cohen's kappa {_kappa(found)}; {found.abstained} more where one named none"
        )


def _kappa(found: Agreement) -> str:
    if found.kappa is None or found.kappa_interval is None:
        return "–"
    lo, hi = found.kappa_interval
    return f"{found.kappa:.2f} [{lo:.2f},{hi:.2f}]"
