"""Every snippet of docs/own-data.md runs, in the order of the page, in one folder.

A comment before a block says what it is: `<!-- file: NAME -->`, `<!-- run: prints 'TEXT' -->`, or
`<!-- slow -->` for a command. A `text` block is what the snippet before it prints; a `toml` block
without a name is a part of a recipe.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pages import blocks_of
from sport.recipes import load_recipe

BLOCKS = blocks_of("own-data.md")


def python(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_files(folder: Path) -> None:
    for block in BLOCKS:
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text)
    python("draw.py", folder=folder)


def test_every_block_is_understood() -> None:
    known = [b for b in BLOCKS if b.mark or b.language in ("toml", "text")]
    assert len(known) == len(BLOCKS) >= 11


def test_the_snippets_run_and_print_what_the_page_says(tmp_path: Path) -> None:
    write_files(tmp_path)
    printed = ""
    for block in BLOCKS:
        if block.mark.startswith("run: prints "):
            printed = python("-c", block.text, folder=tmp_path)
            assert block.mark.split("'")[1] in printed
        elif block.language == "text":
            assert block.text == printed


def test_the_recipes_hold(tmp_path: Path) -> None:
    write_files(tmp_path)
    whole = (tmp_path / "recipe.toml").read_text()
    parts = [b.text for b in BLOCKS if b.language == "toml" and not b.mark]
    assert parts
    for part in parts:
        lines = [whole, part] if part.startswith("[") else [part, whole]
        (tmp_path / "part.toml").write_text("".join(lines))
        load_recipe(str(tmp_path / "part.toml"))  # raises where one does not hold


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_runs_to_a_report(tmp_path: Path) -> None:
    write_files(tmp_path)
    sport = shutil.which("sport", path=str(Path(sys.executable).parent))
    assert sport is not None
    [command] = [b.text for b in BLOCKS if b.mark == "slow"]
    arguments = command.split()[1:]
    done = subprocess.run(
        [sport, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "recipe" / "report.html").is_file()
