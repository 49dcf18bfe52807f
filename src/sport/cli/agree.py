"""`sport agree`: how far a verifier can be trusted, by a person's own choices."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.types import Candidate, Step
    from sport.verify.agreement import Agreement, Ballot
    from sport.verify.session import AgreeSession


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
        from sport.verify.session import AgreeSession, judged_by

        opened = Run.open(run)
        person = name or getpass.getuser() if ask else None
        session = AgreeSession(opened, person, steps, seed)
        if ask:
            _ask(session)
        others = {j: judged_by(opened, j, session.ballots, seed) for j in judge or []}
        _print(session.summary(others))


def _ask(session: AgreeSession) -> None:
    """Asks for what is owed, until there is no more or the person stops."""
    count = len(session.owed)
    for place in range(1, count + 1):
        ballot = session.next()
        if ballot is None:
            return
        _show(ballot, f"{place} of {count}")
        answer = _answer(len(ballot.order))
        if answer == "q":
            return
        if answer == "s":
            session.skip(ballot.key)
        else:
            session.record(ballot.key, None if answer == "0" else ballot.order[int(answer) - 1])


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
    from sport.untrusted import shown

    stdout.print(shown(text), markup=False, soft_wrap=True)


def _print(found: Sequence[Agreement]) -> None:
    from sport.evals.table import percent

    stdout.print("\nAgreement, with 95 % intervals:")
    for pair in found:
        _say(
            f"{pair.first} and {pair.second}: the same in "
            f"{percent(pair.share, pair.interval)} % of {pair.both} steps; "
            f"Cohen's kappa {_kappa(pair)}; {pair.abstained} more where one named none"
        )


def _kappa(found: Agreement) -> str:
    if found.kappa is None or found.kappa_interval is None:
        return "–"
    lo, hi = found.kappa_interval
    return f"{found.kappa:.2f} [{lo:.2f},{hi:.2f}]"
