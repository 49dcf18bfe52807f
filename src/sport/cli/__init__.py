"""The command line: `sport run`, its single stages, and a look at what came of it."""

from __future__ import annotations

import typer

from sport.cli import agree, ask, doctor, eval, export, pocket, report, stages, tools, view

app = typer.Typer(
    name="sport",
    help="Makes a vision-language model better at using your tools, with no labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for module in (stages, eval, ask, agree, report, view, export, tools, doctor, pocket):
    module.register(app)


def main() -> None:
    """Entry point of the command `sport`."""
    app()
