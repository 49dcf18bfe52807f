"""`sport run`, and its stages alone over the same run folder.

Heavy libraries are imported inside the commands, so that `sport --help` answers at once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.config import Recipe
    from sport.pipeline import Pipeline

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|RUN",
        help="A TOML file, `pocket` or `pocket-quick`, or the folder of a run, which goes on.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Changes the recipe, as in -o explore.group=8."),
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder; RUN, or runs/<recipe>, if left out.")
]
Tracker = Annotated[
    str | None,
    typer.Option(help="A tracker of Accelerate for the figures of tuning, such as tensorboard."),
]
Round = Annotated[int, typer.Option(min=1, help="Which round.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (run, synth, explore, tune, sft):
        app.command(command.__name__)(command)


def run(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    tracker: Tracker = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing; the log says it all.")
    ] = False,
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
            from sport.recipes import load_recipe

            estimate.dry_run(load_recipe(recipe, override or []), tokens_per_second)
        return
    with opened(recipe, override, out, tracker, quiet=quiet) as pipeline:
        from sport.controls import run_controls
        from sport.loop import improve

        rounds = pipeline.run.recipe.rounds
        adapter = improve(pipeline, rounds)
        run_controls(pipeline)
        pipeline.probe(adapter, rounds)
        pipeline.report()


def synth(
    recipe: RecipeArgument,
    override: Overrides = None,
    out: Out = None,
    round: Round = 1,
    from_tools: Annotated[
        bool, typer.Option("--from-tools", help="Drafts the seeds from the recipe's tools.")
    ] = False,
    view: Annotated[
        bool, typer.Option("--view", help="Opens them in the browser afterwards.")
    ] = False,
) -> None:
    """Makes the tasks of a round."""
    changes = [*(override or []), *(["synthesis.from_tools=true"] if from_tools else [])]
    with opened(recipe, changes, out) as pipeline:
        tasks = pipeline.synthesise(round)
        pipeline.progress.say(f"round {round} has {len(tasks)} tasks")
        folder = pipeline.run.path
        if not view:
            pipeline.progress.say(f"look at them: sport view {folder}")
            return
    with guarded():
        from sport.cli.view import show
        from sport.view.book import Book

        show(Book([folder]))


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
    with opened(recipe, override, out, tracker, several=True) as pipeline:
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
    with opened(recipe, override, out, tracker, several=True, student=model) as pipeline:
        from sport.controls import imitate

        adapter = imitate(pipeline, model)
        pipeline.progress.say(f'adapter: {adapter}\nstart from it with [policy] adapter = "…"')


@contextmanager
def opened(
    recipe: str,
    overrides: list[str] | None,
    out: Path | None,
    tracker: str | None = None,
    several: bool = False,
    quiet: bool = False,
    teacher: str | None = None,
    student: str | None = None,
) -> Iterator[Pipeline]:
    """A recipe's run, opened for writing, with its log; failures end as one clear message.

    Args:
        recipe: The recipe, or the run's folder.
        overrides: What is changed in the recipe.
        out: The run's folder, where it is not the recipe's.
        tracker: Name of a tracker of Accelerate.
        several: Whether several processes can share the work. The first one writes; the others
            read, and say nothing but errors.
        quiet: Whether nothing but errors is said; the log is kept all the same.
        teacher: A policy that takes the place of the recipe's: a model, or a recipe.
        student: A model that takes the place of the recipe's.
    """
    with guarded(shlex.join(["sport", *sys.argv[1:]])):
        from sport import launch
        from sport.recipes import is_run, load_recipe, with_student, with_teacher

        def changed(recipe: Recipe) -> Recipe:
            recipe = with_teacher(recipe, teacher) if teacher is not None else recipe
            return with_student(recipe, student) if student is not None else recipe

        launch.assert_known()
        if launch.count() > 1 and not several:
            raise launch.LaunchError(
                "this command runs in one process; `sport tune` and `sport sft` can be started by "
                "`accelerate launch`"
            )
        loaded = load_recipe(recipe, overrides or [])
        folder = out or (Path(recipe) if is_run(Path(recipe)) else Path("runs") / loaded.name)
        with opened_recipe(loaded, folder, tracker, quiet, changed) as pipeline:
            yield pipeline


@contextmanager
def opened_recipe(
    recipe: Recipe,
    folder: Path,
    tracker: str | None = None,
    quiet: bool = False,
    changed: Callable[[Recipe], Recipe] = lambda recipe: recipe,
) -> Iterator[Pipeline]:
    """A run of a recipe, opened for writing, with its log; failures end as one clear message.

    Of several processes the first one writes; the others read, and say nothing but errors.

    Args:
        recipe: The recipe, which is written into the folder.
        folder: The run's folder.
        tracker: Name of a tracker of Accelerate.
        quiet: Whether nothing but errors is said; the log is kept all the same.
        changed: What becomes of the recipe for this command alone.
    """
    again = shlex.join(["sport", *sys.argv[1:]])
    with guarded(again):
        from sport import launch
        from sport.pipeline import Pipeline
        from sport.progress import Progress, logged
        from sport.store import Run

        if not launch.is_main():
            joined = Run.join(folder, recipe)
            joined.recipe = changed(recipe)
            yield Pipeline(joined, Progress(Console(quiet=True)))
            return
        with Run.create(folder, recipe) as run, logged(folder / "run.log"):
            run.recipe = changed(recipe)
            with guarded(again, folder / "run.log"):
                progress = Progress(Console(quiet=True) if quiet else stdout)
                progress.say(f"run folder: {folder}")
                with progress.recorded(run.path, again):
                    with Pipeline(run, progress, tracker) as pipeline:
                        yield pipeline
