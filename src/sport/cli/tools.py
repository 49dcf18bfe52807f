"""`sport tools …`: what a recipe's tools are, what they were asked, and serving them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from sport.cli.guard import guarded, stdout
from sport.cli.stages import Overrides, RecipeArgument

if TYPE_CHECKING:
    from sport.tools.function import Tool

app = typer.Typer(
    help="What a recipe's tools are, what they were asked, and serving them.",
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.add_typer(app, name="tools")


@app.command("list")
def list_tools(recipe: RecipeArgument, override: Overrides = None) -> None:
    """Lists the tools of a recipe: how they are called, what they declare, what they lack."""
    with guarded():
        from sport.checks import recipe_tools
        from sport.recipes import load_recipe

        lacking = False
        for tool, problem in recipe_tools(load_recipe(recipe, override or [])):
            lacking = lacking or problem is not None
            mark = "[green]ok[/green]" if problem is None else "[red]--[/red]"
            text = problem if tool is None else tool.signature
            stdout.print(mark, escape(text or ""), soft_wrap=True)
            if tool is not None:
                stdout.print(f"   {declared(tool)}", markup=False, soft_wrap=True)
                if problem is not None:
                    stdout.print(f"   {problem}", markup=False, soft_wrap=True)
    if lacking:
        raise typer.Exit(1)


def declared(tool: Tool) -> str:
    """What a tool declares, in words."""
    words = [
        "side effects" if tool.side_effects else "read-only",
        "deterministic" if tool.deterministic else "not deterministic",
        f"at most {tool.timeout_s:g} s",
    ]
    if tool.concurrency is not None:
        words.append(f"{tool.concurrency} at once")
    if tool.cost:
        words.append(f"costs {tool.cost:g}")
    if tool.version:
        words.append(f"version {tool.version}")
    words.append(f"from {tool.origin or 'sport'}")
    return ", ".join(words)


@app.command("calls")
def calls(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Counts the calls of a run's tools: asked, made, answered from the cache, failed."""
    with guarded():
        from rich.table import Table

        from sport.jsonl import StoreError
        from sport.tools.calls import FILE, CallStore

        file = run / "cache" / FILE
        if not file.is_file():
            raise StoreError(f"{run} has no recorded calls: {file} is missing")
        table = Table(box=None, pad_edge=False)
        table.add_column("tool")
        numbers = ("asked", "called", "cached", "shared", "missing", "failed", "seconds", "cost")
        for name in numbers:
            table.add_column(name, justify="right")
        for count in CallStore(file).counts():
            table.add_row(count.tool, *(f"{getattr(count, name):g}" for name in numbers))
        stdout.print(table)


@app.command("serve")
def serve(
    recipe: RecipeArgument,
    override: Overrides = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
) -> None:
    """Serves the tools of a recipe by MCP on this machine, each loaded once, until Ctrl-C."""
    with guarded():
        from sport.assemble import load_recipe_tools
        from sport.recipes import load_recipe
        from sport.secrets import Secrets
        from sport.tools.load import check_tools
        from sport.tools.serve import serve as serve_tools

        loaded = load_recipe(recipe, override or [])
        tools = load_recipe_tools(loaded)
        check_tools(tools.values())

        def said(address: str) -> None:
            stdout.print(f"serving {', '.join(tools)} at {address}", markup=False, soft_wrap=True)
            stdout.print(
                f'in a recipe: tools = ["mcp:models"] and [mcp.models] url = "{address}"',
                markup=False,
                soft_wrap=True,
            )

        serve_tools(tools, Secrets.of_environment(loaded.secret_names()), port, said)
