"""Every snippet of docs/tools.md runs, in the order of the page, in one folder.

A comment before a block says what it is: `<!-- file: NAME -->`, `<!-- theirs: NAME -->` for a file
that somebody else wrote, `<!-- run: prints 'TEXT' -->`, or `<!-- part -->` of the page's recipe.
A `text` block is what the snippet before it prints; other Python blocks only have to run, and other
commands to be ones that there are.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pages import Block, blocks_of
from sport.assemble import load_recipe_tools
from sport.cli import app
from sport.recipes import load_recipe

BLOCKS = blocks_of("tools.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for block in BLOCKS:
        kind, _, name = block.mark.partition(": ")
        if kind in ("file", "theirs"):
            (tmp_path / name).write_text(block.text)
    return tmp_path


def run(block: Block, folder: Path) -> str:
    command = [sys.executable, "-c", block.text]
    if block.language == "sh":
        command = [sys.executable, "-m", "sport", *shlex.split(block.text)[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_tool_takes_three_lines() -> None:
    ways = [b.text for b in BLOCKS if b.mark.startswith("file: ")]
    assert len(ways) == 3
    function, library, recipe = (text.strip() for text in ways)
    assert len(function.splitlines()) <= 3
    assert len(library.splitlines()) <= 3
    assert len(recipe.partition("[mcp")[2].splitlines()) <= 3


def test_the_snippets_run_and_print_what_the_page_says(folder: Path) -> None:
    printed, told = "", 0
    for block in BLOCKS:
        if block.mark.startswith("run: prints "):
            printed = run(block, folder)
            assert block.mark.split("'")[1] in printed
        elif block.language == "text":
            assert block.text == printed
            told += 1
        elif block.language == "python" and not block.mark:
            run(block, folder)
    assert told == 2


def test_the_recipes_hold(folder: Path) -> None:
    whole = (folder / "recipe.toml").read_text()
    for block in BLOCKS:
        if block.language != "toml" or block.mark.startswith("file"):
            continue
        lines = [line for line in whole.splitlines() if not line.startswith("tools")]
        text = block.text if "tools =" in block.text else whole + block.text
        text = text if text.startswith("tasks") else f"{lines[0]}\n{text}"
        (folder / "part.toml").write_text(text)
        recipe = load_recipe(str(folder / "part.toml"))
        if block.mark == "part" and "url" not in block.text:
            [tool] = [t for n, t in load_recipe_tools(recipe).items() if n in recipe.tool]
            assert (tool.deterministic, tool.timeout_s) == (True, 5)


def test_the_commands_are_there() -> None:
    commands = [b.text.split() for b in BLOCKS if b.language == "sh"]
    assert len(commands) == 4
    for command in commands:
        name = command[1:3] if command[1] == "tools" else command[1:2]
        assert CliRunner().invoke(app, [*name, "--help"]).exit_code == 0
