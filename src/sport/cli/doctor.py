"""`sport doctor`: what this machine has, and what would mend what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import typer
from rich.markup import escape

from sport.cli.guard import guarded, stdout

PACKAGES = ("torch", "transformers", "peft", "rapidocr", "opencv-python-headless")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)


def doctor() -> None:
    """Checks what runs need: libraries, sandbox, embedded model, room on the disk."""
    with guarded():
        good = [*map(_package, PACKAGES), _model(), _sandbox()]
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


def _mend(text: str) -> str:
    return f". Mend: {text}" if text else ""


def _say(good: bool, text: str) -> bool:
    stdout.print("[green]ok[/green]" if good else "[red]--[/red]", escape(text), soft_wrap=True)
    return good
