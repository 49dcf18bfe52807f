"""`sport report`: a run's figures and pictures, from what is on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sport.cli.guard import guarded, stdout


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(report)


def report(run: Annotated[Path, typer.Argument(help="The run's folder.")]) -> None:
    """Writes report.html anew and prints the table."""
    with guarded():
        from sport.evals.table import terminal_table
        from sport.store import Run
        from sport.view.report import write_report

        opened = Run.open(run)
        stdout.print(terminal_table(opened.metrics()))
        stdout.print(f"report: {write_report(opened)}", markup=False)
