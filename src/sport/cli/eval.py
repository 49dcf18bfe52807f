"""`sport eval`: an agent on a benchmark, or a recipe's policy on the recipe's own splits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sport.cli.guard import guarded
from sport.cli.stages import Out, Overrides, opened, opened_recipe

BENCHMARKS = ("gta", "gaia", "pocket")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("eval")(evaluate)


def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK|RECIPE",
            help="gta, gaia or pocket; or a recipe, whose own evaluation splits are measured.",
        ),
    ],
    policy: Annotated[
        str,
        typer.Option(
            help="A model's folder or name, a run's folder, a recipe, FILE.py:NAME, or gold."
        ),
    ] = "",
    agent: Annotated[
        str | None, typer.Option(help="code, json, toolcall, smolagents or no-tools.")
    ] = None,
    tools: Annotated[
        str, typer.Option(help="Names with commas between; or replay, replay-paper (GTA only).")
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the benchmark's data, as published.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items.")] = None,
    best_of: Annotated[
        int, typer.Option(min=1, help="Candidates a step, chosen among by the verifier.")
    ] = 1,
    verifier: Annotated[
        str | None, typer.Option(help="Of --best-of: rubric, llm, random or oracle.")
    ] = None,
    like: Annotated[str, typer.Option(help="A published row to reproduce.")] = "",
    scorer: Annotated[str, typer.Option(help="AnsAcc of GTA by gta, mat or sport.")] = "sport",
    pictures: Annotated[bool, typer.Option(help="Whether pictures are shown.")] = True,
    step_by_step: Annotated[
        bool, typer.Option(help="GTA: each gold step after the gold history.")
    ] = False,
    reformat: Annotated[
        bool, typer.Option(help="GAIA: answers also put into its form, as a row of its own.")
    ] = False,
    override: Overrides = None,
    out: Out = None,
    round: Annotated[
        int | None, typer.Option(min=0, help="Of a run or recipe: whose policy.")
    ] = None,
) -> None:
    """Evaluates an agent on a benchmark; resumes what was begun."""
    if what not in BENCHMARKS:
        given = {
            "--policy": policy, "--agent": agent, "--tools": tools, "--data": data,
            "--limit": limit, "--best-of": best_of > 1, "--verifier": verifier, "--like": like,
            "--scorer": scorer != "sport", "--no-pictures": not pictures,
            "--step-by-step": step_by_step, "--reformat": reformat,
        }  # fmt: skip
        misplaced = [option for option, value in given.items() if value]
        _on_own_splits(what, misplaced, override, out, round)
        return
    with guarded():
        from sport.evals.setup import evaluation_recipe

        section = {
            "name": what,
            "data": None if data is None else str(data.absolute()),
            "limit": limit,
            "best_of": best_of,
            "like": like,
            "scorer": scorer,
            "pictures": pictures,
            "step_by_step": step_by_step,
            "reformat": reformat,
        }
        recipe = evaluation_recipe(
            policy or ("pocket" if what == "pocket" and not like else ""),
            section,
            agent=agent,
            tools=[name.strip() for name in tools.split(",") if name.strip()],
            verifier=verifier,
            round=round,
            overrides=override or [],
        )
        best = f"best-of-{best_of}" if best_of > 1 else ""
        name = _folder_name(recipe.name, like or policy or "pocket", recipe.agent, best)
        with opened_recipe(recipe, out or Path("runs") / name) as pipeline:
            pipeline.measure_agent()
            pipeline.table()


def _on_own_splits(
    recipe: str, misplaced: list[str], override: Overrides, out: Out, round: int | None
) -> None:
    """Measures a round's policy on the splits of its recipe; ``misplaced`` options are an error."""
    if misplaced:
        raise typer.BadParameter(
            f"{', '.join(misplaced)}: only for a benchmark ({', '.join(BENCHMARKS)}); to evaluate "
            f"{recipe} on one, give it as --policy"
        )
    with opened(recipe, override, out) as pipeline:
        number = round or 0
        pipeline.evaluate(pipeline.run.adapter(number), number)
        pipeline.report()


def _folder_name(*parts: str) -> str:
    """The parts with dashes between, as a name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", "-".join(filter(None, parts))).strip("-")
