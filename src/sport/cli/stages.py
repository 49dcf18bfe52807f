"""`sport run`, and its stages alone over the same run folder.

Heavy libraries are imported inside the commands, so that `sport --help` answers at once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.pipeline import Pipeline

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A TOML file, or `pocket` or `pocket-quick`.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Changes the recipe, as in -o explore.group=8."),
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder; runs/<recipe> where it is left out.")
]
Tracker = Annotated[
    str | None,
    typer.Option(help="A tracker of Accelerate for the figures of tuning, such as tensorboard."),
]
Round = Annotated[int, typer.Option(min=1, help="Which round.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (run, synth, explore, tune, sft, evaluate):
        app.command("eval" if command is evaluate else command.__name__)(command)


def run(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    tracker: Tracker = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prints what servers will be asked, and asks nothing.")
    ] = False,
    tokens_per_second: Annotated[
        float, typer.Option(min=1, help="What servers write, for the hours of --dry-run.")
    ] = 1000.0,
) -> None:
    """Runs a recipe to its end: explores, tunes, evaluates, reports. Resumes what was begun."""
    if dry_run:
        with guarded():
            from sport.cli import dry_run as estimate
            from sport.config import load_recipe

            estimate.dry_run(load_recipe(recipe, override or []), tokens_per_second)
        return
    with opened(recipe, override, out, tracker) as pipeline:
        from sport.controls import run_controls
        from sport.loop import improve

        rounds = pipeline.run.recipe.rounds
        adapter = improve(pipeline, rounds)
        run_controls(pipeline)
        pipeline.probe(adapter, rounds)
        pipeline.report()


def synth(
    recipe: RecipeArgument, override: Overrides = None, out: Out = None, round: Round = 1
) -> None:
    """Makes the tasks of a round."""
    with opened(recipe, override, out) as pipeline:
        tasks = pipeline.synthesise(round)
        pipeline.progress.say(f"round {round} has {len(tasks)} tasks")


def explore(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    round: Round = 1,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="TEACHER",
            help="Another policy that explores: a model, or a recipe whose [policy] is meant.",
        ),
    ] = None,
) -> None:
    """Explores the tasks of a round with the policy of the round before."""
    with opened(recipe, override, out, teacher=policy) as pipeline:
        before = pipeline.run.adapter(round - 1)
        pipeline.explore(pipeline.synthesise(round), before, round)


def tune(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    round: Round = 1,
    tracker: Tracker = None,
) -> None:
    """Tunes on what a round explored."""
    with opened(recipe, override, out, tracker) as pipeline:
        pipeline.tune(pipeline.explored(round), pipeline.run.adapter(round - 1), round)


def sft(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    tracker: Tracker = None,
    model: Annotated[
        str | None, typer.Option(metavar="STUDENT", help="Tunes this model, not the recipe's.")
    ] = None,
) -> None:
    """Tunes by imitating the chosen actions of round 1: the start of a loop, or a control."""
    with opened(recipe, override, out, tracker, student=model) as pipeline:
        from sport.controls import imitate

        adapter = imitate(pipeline, model)
        pipeline.progress.say(f'adapter: {adapter}\nstart from it with [policy] adapter = "…"')


def evaluate(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    round: Annotated[int, typer.Option(min=0, help="Which round; 0 is the start.")] = 0,
) -> None:
    """Evaluates the policy of a round, greedily and with one sample a step."""
    with opened(recipe, override, out) as pipeline:
        pipeline.evaluate(pipeline.run.adapter(round), round)
        pipeline.report()


@contextmanager
def opened(
    recipe: str,
    overrides: list[str] | None,
    out: Path | None,
    tracker: str | None = None,
    teacher: str | None = None,
    student: str | None = None,
) -> Iterator[Pipeline]:
    """A recipe's run, opened for writing, with its log; failures end as one clear message.

    Args:
        recipe: Its recipe.
        overrides: Changes of that.
        out: Its folder.
        tracker: Name of a tracker of Accelerate.
        teacher: A policy that takes the place of the recipe's: a model, or a recipe.
        student: A model that takes the place of the recipe's.
    """
    again = shlex.join(["sport", *sys.argv[1:]])
    with guarded(again):
        from sport.config import load_recipe, with_student, with_teacher
        from sport.pipeline import Pipeline
        from sport.progress import Progress, logged
        from sport.store import Run

        loaded = load_recipe(recipe, overrides or [])
        folder = out or Path("runs") / loaded.name
        with Run.create(folder, loaded) as run, logged(folder / "run.log"):
            if teacher is not None:
                run.recipe = with_teacher(loaded, teacher)
            if student is not None:
                run.recipe = with_student(loaded, student)
            with guarded(again, folder / "run.log"):
                progress = Progress(stdout)
                progress.say(f"run folder: {folder}")
                with Pipeline(run, progress, tracker) as pipeline:
                    yield pipeline
