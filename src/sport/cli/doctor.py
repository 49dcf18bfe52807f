"""`sport doctor`: what this machine has, and what would mend what it lacks."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from sport.cli.guard import guarded, stdout

PACKAGES = ("torch", "transformers", "peft", "rapidocr", "opencv-python-headless")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)


def doctor(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe whose servers are asked, too.")
    ] = None,
) -> None:
    """Checks what runs need: libraries, sandbox, embedded model, disk, and a recipe's servers."""
    with guarded():
        good = [*map(_package, PACKAGES), _model(), _sandbox()]
        good += _servers(recipe) if recipe is not None else []
        _say(True, f"Python {platform.python_version()}, {os.cpu_count()} cores")
        _say(True, f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free in {Path.cwd()}")
    if not all(good):
        raise typer.Exit(1)


def _package(name: str) -> bool:
    try:
        return _say(True, f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        return _say(False, f"{name} is not installed: pip install {name}")


def _model() -> bool:
    from sport.assemble import POCKET

    if (POCKET / "config.json").is_file():
        return _say(True, "embedded model")
    return _say(False, f"the embedded model is missing in {POCKET}: install the package anew")


def _sandbox() -> bool:
    from sport.sandbox import probe_tier

    report = probe_tier()
    for layer in report.layers:
        _say(layer.found, f"sandbox: {layer.name}: {layer.detail}{_mend(layer.mend)}")
    good = report.tier != "none"
    return _say(good, f"sandbox: tier {report.tier}{'' if good else ': runs will refuse to start'}")


def _servers(name: str) -> list[bool]:
    """Asks every server of a recipe for a few tokens."""
    from sport.config import load_recipe
    from sport.remote.client import ChatClient
    from sport.remote.faults import RemoteError
    from sport.remote.probe import Finding, probe

    recipe = load_recipe(name)
    images = {"policy": True, "verifier": recipe.verifier.images}
    good = []
    for section, server in recipe.servers().items():
        try:
            client = ChatClient(server, recipe.policy.model, section)
            found = asyncio.run(probe(client, images[section]))
        except RemoteError as error:
            found = [Finding(False, str(error))]
        good += [_say(f.good, f"{section} at {server.url}: {f.text}") for f in found]
    return good


def _mend(text: str) -> str:
    return f". Mend: {text}" if text else ""


def _say(good: bool, text: str) -> bool:
    stdout.print("[green]ok[/green]" if good else "[red]--[/red]", escape(text), soft_wrap=True)
    return good
