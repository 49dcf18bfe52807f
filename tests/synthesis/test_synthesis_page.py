"""The page docs/synthesis.md: its files make a folder in which its commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from pages import DOCS, blocks_of
from sport.cli import app
from sport.store import Run
from sport.synthesis.config import LLMSettings
from synthesis.scripted import Body, needs, query_of, stage_of, tasks, verdict

BLOCKS = blocks_of("synthesis.md")
PLACES = ("bakery", "florist", "cinema", "ferry", "museum", "pool")


def played(body: Body) -> list[str]:
    """Some queries about each sign."""
    stage = stage_of(body)
    if stage == "queries":
        asked = ("What does it cost to buy {} of what the {} has?", "Who works {} hours at the {}?")
        found = [ask.format(i + 2, p) for i, p in enumerate(PLACES) for ask in asked]
        return [tasks([(query, ["ocr"]) for query in found])]
    if stage == "needs":
        [its] = [place for place in PLACES if place in query_of(body)]
        return [needs(("photo", f"a sign in front of the {its}"))]
    return [verdict()]


def test_the_files_and_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        if block.mark.startswith("file: "):
            Path(block.mark.removeprefix("file: ")).write_text(block.text)
    subprocess.run([sys.executable, "draw.py"], check=True, timeout=60)
    with FaultServer(says=played) as server:
        recipe = Path("own.toml")
        recipe.write_text(recipe.read_text().replace("http://127.0.0.1:8000/v1", server.url))
        ran = [block for block in BLOCKS if block.mark == "run"]
        assert len(ran) == 1 and len(BLOCKS) == 4
        for block in ran:
            for line in block.text.splitlines():
                done = CliRunner().invoke(app, shlex.split(line)[1:])
                assert done.exit_code == 0, done.output
    assert "library: 6 added, 0 in already" in done.output
    run = Run.open("runs/own")
    assert len(run.tasks()) == 6
    assert all("photos/" in file.source for task in run.tasks() for file in task.files)


def test_the_table_of_settings_is_whole_and_right() -> None:
    text = (DOCS / "synthesis.md").read_text()
    table = text[text.index("| key of `[synthesis]`") : text.index("`[synthesis.server]` writes")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    told: dict[str, str] = {}
    for names, values, _ in (row for row in rows if row):
        keys = re.findall(r"`(\w+)`", names)
        parts = [values] if values.startswith("[") or len(keys) == 1 else values.split(", ")
        told |= dict(zip(keys, [*parts, *[""] * len(keys)], strict=False))
    fields = {n: f for n, f in LLMSettings.model_fields.items()}
    assert told.keys() == fields.keys() - {"kind", "server", "checker", "embeddings"}
    for name, value in told.items():
        default = fields[name].default
        if value and value not in ("in the run's folder", "24 everyday ones"):
            shown = list(default) if isinstance(default, tuple) else default
            assert value == (str(shown).lower() if isinstance(shown, bool) else str(shown)), name
    assert len(fields["topics"].default) == 24
