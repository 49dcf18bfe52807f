"""What a tool returns or raises does no harm to the prompt, the log, the record or the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sport.cli import app
from sport.store import Run

BAD = Path(__file__).parent / "tools" / "bad_mcp_server.py"
SECRET = "swordfish-swordfish"
RECIPE = f"""
tasks = "tasks.jsonl"
rounds = 1
tools = ["mine:hostile", "mcp:bad/secret", "mcp:bad/escape", "mcp:bad/huge"]
[policy]
kind = "script"
model = "mine:policy"
[mcp.bad]
command = ["python", "{BAD}"]
env = ["BAD_SERVER_TOKEN"]
[sampling]
temperatures = [0.0, 0.0]
[explore]
max_steps = 4
max_errors = 20
"""
TOOLS = '''
import os
import sqlite3
from pathlib import Path

from sport.policy.scripted import ScriptedPolicy, action
from sport.tools.base import tool


@tool
def hostile(how: str) -> object:
    """Does harm."""
    token = os.environ["BAD_SERVER_TOKEN"]
    if how == "huge":
        return "x" * 100_000_000
    if how == "binary":
        return bytes(range(256)) * 1000
    if how == "escapes":
        return "\\x1b[31m\\x1b]0;owned\\x07 \\x9b2J \\x00 <script>alert(1)</script>"
    if how == "result":
        return {"token": token, "list": [f"Bearer {token}"]}
    if how == "long error":
        raise ValueError("y" * 100_000_000)
    raise RuntimeError(f"\\x1b[2J 401 for key={token} at https://me:{token}@host/?sig=abcdef99")


SAY = """
for call in ({calls}):
    try:
        print(call())
    except Exception as error:
        print(type(error).__name__, error)
"""
MINE = ", ".join(f"lambda: hostile({how!r})" for how in
                 ("huge", "binary", "escapes", "result", "error", "long error"))


def say(request):
    with Path(__file__).with_name("prompts.txt").open("a") as file:
        file.write(repr([m.text for m in request.messages]) + "\\n")
    step = sum(m.role == "assistant" for m in request.messages)
    codes = [SAY.format(calls=MINE), SAY.format(calls="secret, escape, huge"),
             "hostile('error')", "final_answer(hostile('result'))"]
    return action(codes[step])


policy = ScriptedPolicy(say)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    (made / "recipe.toml").write_text(RECIPE)
    (made / "mine.py").write_text(TOOLS)
    with (made / "tasks.jsonl").open("w") as tasks:
        for number in range(4):
            (made / f"{number}.txt").write_text(str(number))
            task = {"query": f"Task {number}", "files": [f"{number}.txt"]}
            tasks.write(json.dumps(task) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAD_SERVER_TOKEN", SECRET)
        explored = CliRunner().invoke(
            app, ["explore", str(made / "recipe.toml"), "--out", str(made / "run")]
        )
        assert explored.exit_code == 0, explored.output
        saved = CliRunner().invoke(app, ["view", str(made / "run"), "--save", str(made / "pages")])
        assert saved.exit_code == 0, saved.output
    return made


def test_the_model_is_told_what_happened_in_few_words(folder: Path) -> None:
    [trajectory, *_] = Run.open(folder / "run").trajectories(1)
    first, second, third, fourth = (s.candidates[0] for s in trajectory.steps)
    told = first.observation.text.splitlines()
    assert told[0].startswith("ValueError the result is too large: 100000000 characters")
    assert told[1].startswith("TypeError the tool returned a bytes")
    assert told[2] == (r"\u001b[31m\u001b]0;owned\u0007 \u009b2J \u0000 <script>alert(1)</script>")
    assert told[3] == "{'token': '[key]', 'list': ['Bearer [key]']}"
    assert told[4].startswith(r"RuntimeError \u001b[2J 401 for key=[key] at https://me:[key]@host")
    assert "sig=[key]" in told[4]
    assert told[5] == "ValueError " + "y" * 1000
    assert "cannot log in with [key]" in second.observation.text
    assert r"\u001b[31mred\u001b[0m \u0007 bell" in second.observation.text
    assert "too large: 5000000 characters" in second.observation.text
    assert third.outcome is not None and third.outcome.error is not None
    assert fourth.outcome is not None and fourth.outcome.final_answer is not None


def test_nothing_that_is_written_holds_a_secret_or_drives_a_terminal(folder: Path) -> None:
    kept = [folder / "prompts.txt", *(folder / "run").rglob("*"), *(folder / "pages").rglob("*")]
    files = [path for path in kept if path.is_file()]
    names = {path.name for path in files}
    assert {"prompts.txt", "trajectories.jsonl", "run.log", "tools.sqlite", "index.html"} <= names
    for path in files:
        data = path.read_bytes()
        assert SECRET.encode() not in data, path
        assert b"abcdef99" not in data, path
        if path.suffix in (".html", ".jsonl", ".log", ".txt", ".json"):
            assert b"\x1b" not in data, path
        if path.suffix == ".html":
            assert b"<script>alert(1)" not in data, path
        assert len(data) < 2_000_000, path
