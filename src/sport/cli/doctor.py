"""`sport doctor`: what this machine has, and what would mend what it lacks."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.config import Recipe
    from sport.hosts import Hosts
    from sport.remote.client import ChatClient
    from sport.remote.config import ServerSettings
    from sport.remote.probe import Finding, Needs

PACKAGES = ("torch", "transformers", "peft", "rapidocr", "opencv-python-headless")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)


def doctor(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe whose servers are asked, too.")
    ] = None,
) -> None:
    """Checks what runs need: libraries, sandbox, model, disk, tools, and a recipe's servers."""
    with guarded():
        good = [*map(_package, PACKAGES), _model(), _sandbox()]
        if recipe is not None:
            good += _recipe(recipe)
        else:
            _builtin_tools()
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


def _builtin_tools() -> None:
    """Not every tool is needed: one that lacks something is told, and is no failure."""
    from sport.checks import builtin_tools

    for finding in builtin_tools():
        _say(finding.good, finding.text)


def _recipe(name: str) -> list[bool]:
    """Checks what a recipe needs: of this machine first, then of its servers."""
    from sport.checks import check_machine
    from sport.hosts import Hosts
    from sport.recipes import load_recipe

    recipe = load_recipe(name)
    good = [_say(f.good, f.text) for f in check_machine(recipe, Path("runs").absolute())]
    with tempfile.TemporaryDirectory(prefix="sport-doctor-") as folder:
        hosts = Hosts(recipe, Path(folder), lambda text: stdout.status(escape(text)))
        try:
            return good + [_say(f.good, f.text) for f in _servers(recipe, hosts)]
        finally:
            hosts.close()


def _servers(recipe: Recipe, hosts: Hosts) -> Iterator[Finding]:
    """Asks every server of a recipe for a few tokens; those that runs start are started."""
    from sport.assemble import model_path
    from sport.remote.client import ChatClient
    from sport.remote.faults import RemoteError
    from sport.remote.probe import Finding, probe

    for section, server in recipe.servers().items():
        place = f"{section} at {server.url}: "
        try:
            if section == "synthesis.embeddings":
                yield _embeddings(server, place)
                continue
            if section == "policy":
                served = hosts.policy(model_path(recipe), None)
            else:
                served = None
                hosts.verifier() if section == "verifier" else hosts.writers()
            client = ChatClient(server, served or recipe.policy.model, section)
            found = asyncio.run(probe(client, _needs(recipe, section)))
            if found[0].good and section == "policy" and server.load_adapters and recipe.rounds:
                found.append(_rank(recipe, client))
        except RemoteError as error:
            found = [Finding(False, str(error))]
        yield from (Finding(f.good, place + f.text) for f in found)


def _embeddings(server: ServerSettings, place: str) -> Finding:
    """Asks for one vector."""
    from sport.library.endpoint import EmbeddingServer
    from sport.remote.probe import Finding

    assert server.model is not None, "the recipe was validated"
    found = EmbeddingServer(server, server.model)
    return Finding(True, f"{place}gives vectors of {found.dimension} numbers")


def _needs(recipe: Recipe, section: str) -> Needs:
    """What runs ask of a section's server."""
    from sport.checks import longest_prompt
    from sport.remote.probe import Needs
    from sport.types import END_OF_ACTION
    from sport.verify.prompt import schema

    keys: dict[str, Any]
    if section == "verifier":
        keys = {"seed": 1, "response_format": schema(recipe.verifier.mode, 2)}
    elif section != "policy":
        keys = {"seed": 1}
    else:
        keys = {"top_p": recipe.sampling.top_p, "stop": [END_OF_ACTION], "seed": 1}
    sent = {k: v for k, v in keys.items() if k not in recipe.servers()[section].omit}
    if section == "verifier":
        return Needs(recipe.verifier.images, sent)
    if section != "policy":
        # The one that writes sees pictures only where it checks, too.
        alone = "synthesis.checker" not in recipe.servers()
        return Needs(alone or section == "synthesis.checker", sent)
    return Needs(True, sent, longest_prompt(recipe))


def _rank(recipe: Recipe, client: ChatClient) -> Finding:
    """Whether the server loads what tuning makes."""
    from sport.checks import model_config
    from sport.remote.probe import Finding
    from sport.remote.rank import probe_rank

    try:
        config = model_config(recipe)
    except (OSError, ValueError):
        return Finding(False, "adapters cannot be tried without the model's config")
    rank = max(stage.lora.r for stage in recipe.tune)
    return asyncio.run(probe_rank(client, config, rank))


def _mend(text: str) -> str:
    return f". Mend: {text}" if text else ""


def _say(good: bool, text: str) -> bool:
    stdout.print("[green]ok[/green]" if good else "[red]--[/red]", escape(text), soft_wrap=True)
    return good
