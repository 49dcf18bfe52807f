"""`sport export`: a run's pairs for other trainers, and its tuned model for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.store import Run


class Format(StrEnum):
    """What the pairs are written for."""

    trl = "trl"
    llamafactory = "llamafactory"
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    format: Annotated[
        Format | None, typer.Option(help="Writes the preference pairs, images included.")
    ] = None,
    merged: Annotated[
        Path | None,
        typer.Option(help="Writes the model, its adapter merged, into this folder."),
    ] = None,
    round: Annotated[
        int | None,
        typer.Option(min=0, help="Of which round; all pairs and the last model if left out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the pairs; RUN/export/FORMAT if left out.")
    ] = None,
) -> None:
    """Writes a run's preference pairs, its tuned model, or both, for other programs."""
    with guarded():
        if format is None and merged is None:
            raise typer.BadParameter("give --format, --merged, or both")
        from sport.store import Run

        opened = Run.open(run)
        if format is not None:
            _pairs(opened, format, round, out or opened.path / "export" / format.value)
        if merged is not None:
            from sport.policy.merge import write_merged

            model, processor = opened.load_policy_model(round)
            stdout.print(f"model: {write_merged(model, processor, merged)}", markup=False)


def _pairs(run: Run, format: Format, round: int | None, out: Path) -> None:
    from sport.tune.export import export as write

    pairs = run.pairs(round)
    owners = {(pair.task_id, pair.round) for pair in pairs}
    told = [t for t in run.trajectories(round) if (t.task.id, t.round) in owners]
    count = write(told, pairs, format.value, out)
    stdout.print(f"{count} preference pairs: {out}", markup=False)
