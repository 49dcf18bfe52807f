"""`sport report`: a run's figures and pictures, or several runs in the paper's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sport.cli.guard import guarded, stdout


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the table; the run's own, or report.")
    ] = None,
) -> None:
    """Writes a run's report anew; of evaluations, or of several runs, the paper's table."""
    with guarded():
        from sport.evals.contamination import check_run
        from sport.jsonl import StoreError
        from sport.store import Run

        opened = [Run.open(run) for run in runs]
        for run in opened:
            for note in check_run(run):
                stdout.print(note, markup=False)
        if len(opened) == 1 and opened[0].recipe.benchmark is None:
            from sport.evals.table import terminal_table
            from sport.view.report import write_report

            stdout.print(terminal_table(opened[0].metrics()))
            stdout.print(f"report: {write_report(opened[0])}", markup=False)
            return
        from sport.evals.compare import evaluations
        from sport.evals.write import markdown, write_tables

        found = evaluations([run.path for run in opened])
        if not found:
            raise StoreError(
                f"{', '.join(map(str, runs))}: nothing has been evaluated yet. Do so with "
                "`sport eval`."
            )
        for line in markdown(found):
            stdout.print(line, markup=False, soft_wrap=True)
        folder = out or (opened[0].path if len(opened) == 1 else Path("report"))
        for file in write_tables(found, folder):
            stdout.print(f"table: {file}", markup=False)
