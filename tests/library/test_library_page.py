"""Every snippet of docs/library.md runs, in the order of the page, in one folder.

A comment before a block says what it is: `<!-- file: NAME -->`, or `<!-- run -->`; with `embedder`,
MODEL stands for a folder, and with `server` the address for that of a server in the test. A `text`
block is what the snippet before it prints.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from fault_server import FaultServer
from library.test_embedding_server import numbers
from pages import blocks_of
from sport.cli import app

SERVER = "http://127.0.0.1:8000/v1"


def run(language: str, text: str, model: Path) -> str:
    if language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "library.md", "exec"), {})
        return printed.getvalue()
    output = ""
    for line in text.splitlines():
        [program, *arguments] = shlex.split(line.replace("MODEL", str(model)))
        result = CliRunner().invoke(app, arguments)
        assert program == "sport" and result.exit_code == 0, result.output
        output += result.stdout
    return output


def test_the_snippets_run_and_print_what_the_page_says(tmp_path, monkeypatch, model) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of("library.md")
    assert len(blocks) == 9
    printed, everything = "", ""
    for block in blocks:
        if block.language == "text":
            assert block.text == printed
        else:
            assert block.mark
            with FaultServer(lambda body: ["A clear sky"], embeds=numbers) as server:
                printed = run(block.language, block.text.replace(SERVER, server.url), model)
                assert bool(server.requests) == (block.mark == "run: server")
            everything += printed
    assert "photos/lawn.png  A freshly cut lawn in a park" in everything
    assert "pictures  4, " in everything
    assert "1 captions written" in everything
    assert re.search(r"0\.\d{3}  photos/lawn\.png", everything)
