"""`sport tools serve`: the tools of a recipe in a process of their own, by MCP."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import mcp
import pytest

from sport.sandbox import ForkSandbox
from sport.tools.base import Tool, load_tools
from sport.tools.config import McpSettings

TOOLS = '''
import os
from pathlib import Path

from sport.tools.base import tool


@tool(timeout_s=7, version="3", cost=0.5)
def shout(path: Path, times: int = 2) -> dict[str, object]:
    """Says loudly what a file says."""
    made = path.with_name("loud.txt")
    made.write_text(path.read_text().upper() * times)
    return {"files": [made], "suffix": path.suffix, "pid": os.getpid()}


@tool(side_effects=True)
def fail(why: str) -> None:
    """Fails."""
    raise KeyError(why + os.environ["MY_SECRET_TOKEN"])
'''
RECIPE = 'tasks = "tasks.jsonl"\ntools = ["mine:shout", "mine:fail"]\n'


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "mine.py").write_text(TOOLS)
    (folder / "recipe.toml").write_text(RECIPE)
    command = [sys.executable, "-u", "-m", "sport", "tools", "serve", str(folder / "recipe.toml")]
    environment = {"MY_SECRET_TOKEN": "swordfish-swordfish"}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        found = re.fullmatch(r"serving shout, fail at (http://127\.0\.0\.1:\d+/mcp)\n", line)
        assert found, line
        yield found[1]
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def tools(address: str, tmp_path: Path) -> Mapping[str, Tool]:
    return load_tools(["mcp:models"], {}, tmp_path, {}, {"models": McpSettings(url=address)})


def test_a_served_tool_is_what_it_was(tools: Mapping[str, Tool]) -> None:
    shout, fail = tools["shout"], tools["fail"]
    assert shout.signature.startswith("shout(path: str, times: int = 2)")
    assert shout.description.startswith("Says loudly what a file says.")
    assert (shout.deterministic, shout.side_effects) == (True, False)
    assert (shout.timeout_s, shout.version, shout.cost) == (7, "3", 0.5)
    assert (fail.deterministic, fail.side_effects) == (False, True)


async def test_files_go_there_and_come_back(tools: Mapping[str, Tool], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "note.md").write_text("hello ")
    code = (
        "r = shout('note.md', times=3)\nprint(r['files'], open(r['files'][0]).read(), r['suffix'])"
    )
    async with ForkSandbox(tools) as sandbox:
        outcomes = await sandbox.run(await sandbox.open(work), [code] * 3)
    for outcome in outcomes:
        assert outcome.stdout == "['loud.txt'] HELLO HELLO HELLO  .md\n", outcome


def test_all_clients_share_one_process(tools: Mapping[str, Tool], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    pids = {str(tools["shout"](tmp_path, {"path": "a.txt"})["pid"]) for _ in range(2)}  # type: ignore[index,call-overload]
    assert len(pids) == 1


def test_a_failure_comes_as_what_it_was_without_secrets(
    tools: Mapping[str, Tool], tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"'no \[key\]'") as caught:
        tools["fail"](tmp_path, {"why": "no "})
    assert type(caught.value).__name__ == "KeyError"


async def test_another_agent_can_use_it(address: str) -> None:
    async with mcp.Client(address) as client:
        listed = {t.name: t for t in (await client.list_tools()).tools}
        asked = listed["shout"].input_schema["properties"]["path"]
        assert (asked["type"], asked["format"]) == ("string", "data-uri")
        data = base64.b64encode(b"hi").decode()
        for uri in (f"data:text/plain;name=x.md;base64,{data}", data):
            answer = await client.call_tool("shout", {"path": uri, "times": 1})
            assert not answer.is_error
            text, file = answer.content
            assert text.type == "text" and '"files": ["loud.txt"]' in text.text
            assert file.type == "resource"
            assert base64.b64decode(file.resource.blob) == b"HI"  # type: ignore[union-attr]
        wrong = await client.call_tool("shout", {"path": "data:,x", "times": "often"})
        assert wrong.is_error
        assert "wants int as 'times', got 'often'" in wrong.content[0].text  # type: ignore[union-attr]


def test_other_hosts_are_refused(address: str) -> None:
    import httpx2

    answer = httpx2.post(address, headers={"Host": "evil.example"}, json={})
    assert answer.status_code == 421
