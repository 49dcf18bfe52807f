"""`sport ask`: one question to the agent of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.types import Task, Trajectory


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(ask)


def ask(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    question: Annotated[str, typer.Argument(help="What is asked.")],
    file: Annotated[
        list[Path] | None, typer.Option(help="A picture or other file; may be repeated.")
    ] = None,
    round: Annotated[
        int | None, typer.Option(min=0, help="Whose policy; the last one where it is left out.")
    ] = None,
) -> None:
    """Asks the tuned agent, and prints its steps and its answer."""
    with guarded(), tempfile.TemporaryDirectory(prefix="sport-ask-") as blobs:
        task = _task(run, question, file or [], Path(blobs))
        trajectory = _solve(run, task, round)
        _show(trajectory)


def _task(run: Path, question: str, files: list[Path], blobs: Path) -> Task:
    from sport.blobs import BlobStore
    from sport.files import take_files
    from sport.store import Run
    from sport.types import Task

    pixels = Run.open(run).recipe.images.max_pixels
    taken = take_files([str(f) for f in files], BlobStore(blobs), pixels)
    return Task(id="ask", query=question, files=taken)


def _solve(folder: Path, task: Task, round: int | None) -> Trajectory:
    from sport.pipeline import solve_one
    from sport.store import Run

    run = Run.open(folder)
    return solve_one(run, task, run.adapter(round))


def _show(trajectory: Trajectory) -> None:
    for step in trajectory.steps:
        winner = step.winner or step.candidates[0]
        stdout.print(f"Step {step.index + 1}: {winner.action.thought}", markup=False)
        for title, text in (
            ("code", winner.action.code or winner.action.text),
            ("observation", winner.observation.text),
        ):
            stdout.print(f"  {title}:", markup=False)
            for line in text.splitlines():
                stdout.print(f"    {line}", markup=False)
    answer = trajectory.final_answer
    if answer is None:
        stdout.print(f"No answer ({trajectory.end}). {trajectory.detail}", markup=False)
        raise typer.Exit(1)
    stdout.print(f"Answer: {answer.value}", markup=False)
