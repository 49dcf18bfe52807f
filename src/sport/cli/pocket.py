"""`sport pocket …`: the embedded world and its controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sport.cli.guard import guarded, stdout

app = typer.Typer(help="The embedded world and its controller.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.add_typer(app, name="pocket")


@app.command("train-base")
def train_base(
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("runs/pocket-base"),
    clean: Annotated[
        bool, typer.Option(help="Imitate faultless demonstrations: the designed headroom.")
    ] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, lessons and order.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 2,
) -> None:
    """Trains the embedded controller from random weights; goes on where it was stopped."""
    with guarded(f"sport pocket train-base --out {out}"):
        import torch

        from sport.pocket.train_base import BaseRecipe, train_base

        torch.set_num_threads(threads)
        recipe = BaseRecipe(seed=seed, clean=clean)
        if steps is not None:
            recipe = recipe.model_copy(update={"steps": steps})
        train_base(recipe, out, say=lambda line: stdout.print(line, markup=False))
        stdout.print(f"model: {out}", markup=False)
