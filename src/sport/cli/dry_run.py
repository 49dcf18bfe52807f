"""`sport run --dry-run`: what a run will ask and cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from sport.cli.guard import stdout

if TYPE_CHECKING:
    from sport.config import Recipe
    from sport.estimate import Load


def dry_run(recipe: Recipe, tokens_per_second: float) -> None:
    """Prints requests, tokens, hours and cost, likely and at most. Nothing is asked or written."""
    from sport.estimate import CHARS_A_TOKEN, at_most, likely, loads

    habits, bounds = likely(recipe), at_most(recipe)
    usual, most = loads(recipe, habits, bounds)
    if not usual:
        stdout.print("No server is asked: everything is computed on this machine.")
        return
    table = Table("stage", "model", "requests", "tokens read", "tokens written", "cost")
    for load in usual:
        table.add_row(load.stage, load.role, *_figures([load], recipe))
    table.add_section()
    table.add_row("likely", "", *_figures(usual, recipe))
    table.add_row("at most", "", *_figures(most, recipe))
    stdout.print(table)
    lines = [
        f"Likely means {habits.steps:g} steps a task, {habits.action} tokens an action, "
        f"{habits.observation} an observation, {habits.verdict} a verdict, and {CHARS_A_TOKEN} "
        "characters a token; at most, that every bound of the recipe is reached.",
        f"Hours, at {tokens_per_second:g} written tokens a second of all requests together "
        f"(--tokens-per-second): likely {_hours(usual, tokens_per_second)}, at most "
        f"{_hours(most, tokens_per_second)}; tools and tuning come on top.",
        "A server that ignores n reads each prompt once a candidate; `sport doctor` says whether "
        "yours does. Failed requests are repeated and come on top.",
        *_budget(recipe, usual),
        "No request was made.",
    ]
    for line in lines:
        stdout.print(line, markup=False)


def _figures(loads: Sequence[Load], recipe: Recipe) -> tuple[str, str, str, str]:
    requests, read, written = (
        f"{sum(getattr(load, name) for load in loads):,.0f}"
        for name in ("requests", "read", "written")
    )
    priced = any(server.price for server in recipe.servers().values())
    return requests, read, written, f"{_cost(loads, recipe):,.2f}" if priced else "no price"


def _cost(loads: Sequence[Load], recipe: Recipe) -> float:
    servers = recipe.servers()
    found = 0.0
    for load in loads:
        found += load.cost(servers["verifier" if load.role == "keep" else load.role].price)
    return found


def _hours(loads: Sequence[Load], tokens_per_second: float) -> str:
    return f"{sum(load.written for load in loads) / tokens_per_second / 3600:.2g}"


def _budget(recipe: Recipe, usual: Sequence[Load]) -> list[str]:
    tokens = sum(load.read + load.written for load in usual)
    spent = {"money": _cost(usual, recipe), "tokens": tokens}
    return [
        f"budget.{name} is {limit:g}, and the run is likely to need {value:,.4g}: it will stop "
        "before its end, to be gone on with."
        for name, value in spent.items()
        if (limit := getattr(recipe.budget, name)) is not None and value > limit
    ]
