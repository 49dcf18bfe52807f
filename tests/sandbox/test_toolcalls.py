"""Tools called from candidates: in the host, by JSON, bounded."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from sport.sandbox import ForkSandbox
from sport.tools.base import tool


@tool
def read(path: Path) -> str:
    """Reads a file."""
    return path.read_text()


@tool
def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


@tool
def fail(kind: str) -> None:
    """Fails."""
    if kind == "value":
        raise ValueError("bad value")
    if kind == "unicode":
        b"\xff".decode()
    if kind == "stop":
        raise StopIteration("over")
    raise ConnectionRefusedError(111, "refused")


@tool(timeout_s=0.3)
def hang(seconds: float) -> str:
    """Hangs."""
    time.sleep(seconds)
    return "slept"


@tool
def huge() -> str:
    """Returns too much."""
    return "x" * 100_000_000


@tool
def draw(text: str) -> Path:
    """Makes a file."""
    path = Path(tempfile.mkdtemp()) / "drawn.txt"
    path.write_text(text)
    return path


@tool
def odd() -> Any:
    """Returns an object."""
    return object()


@tool
def hostile(how: str) -> Any:
    """Returns or raises what should harm nobody."""
    if how == "binary":
        return b"\x00" * 100
    if how == "many":
        return ["x" * 1000] * 100_000
    if how == "file":
        path = Path(tempfile.mkdtemp()) / "large.bin"
        with path.open("wb") as file:
            file.truncate(100_000_000)
        return path
    if how == "escapes":
        return {"a\x1b[2J": ["\x1b]0;title\x07", "line\r\nnext\rover", "\ud800", "né\u200dé"]}
    if how == "long error":
        raise ValueError("x" * 100_000_000)
    raise ValueError(f"\x1b[31m cannot log in with {os.environ['A_TOKEN_OF_MINE']}")


TOOLS = {t.name: t for t in (read, add, fail, hang, huge, draw, odd, hostile)}


async def run(code: str, workspace: Path | None = None) -> Any:
    async with ForkSandbox(TOOLS) as sandbox:
        base = await sandbox.open(workspace)
        [outcome] = await sandbox.run(base, [code])
    return outcome


async def test_results_arguments_and_records(pictures: Path) -> None:
    outcome = await run(
        "from pathlib import Path\nprint(read('image_0.png'), read(path=Path('./image_0.png')), "
        "read('/workspace/image_0.png'), add(2), add(2, b=3))\nprint(add.__doc__)",
        pictures,
    )
    assert outcome.status == "ok", outcome
    assert outcome.stdout.startswith("picture picture picture 3 5\nadd(a: int, b: int = 1) -> int")
    assert [c.arguments for c in outcome.tool_calls[1:]] == [
        {"path": "image_0.png"},
        {"path": "/workspace/image_0.png"},
        {"a": 2},
        {"a": 2, "b": 3},
    ]
    assert outcome.tool_calls[3].result == 3
    assert outcome.tool_calls[0].error is None


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("add()", "TypeError", "add needs argument 'a'; call it as add(a: int, b: int = 1) -> int"),
        ("add(1, 2, 3)", "TypeError", "takes 2 arguments, got 3"),
        ("add(1, c=2)", "TypeError", "has no argument 'c'"),
        ("add(1, a=2)", "TypeError", "got argument 'a' twice"),
        ("add('x')", "TypeError", "wants int as 'a', got 'x'"),
        ("add(object())", "TypeError", "a object cannot be passed on"),
        ("fail('value')", "ValueError", "bad value"),
        ("fail('unicode')", "RuntimeError", "UnicodeDecodeError"),
        ("fail('stop')", "RuntimeError", "StopIteration: over"),
        ("fail('other')", "ConnectionRefusedError", "refused"),
        ("hang(30)", "TimeoutError", "hang took longer than 0.3 s"),
        ("huge()", "ValueError", "too large"),
        ("odd()", "TypeError", "returned a object"),
        ("read('nothing.png')", "FileNotFoundError", "files here: image_0.png"),
        ("read('../x')", "PermissionError", "outside the workspace"),
        ("read('/etc/hostname')", "PermissionError", "outside the workspace"),
        ("read('.')", "IsADirectoryError", "is not a file"),
        (
            "import os\nos.symlink('/etc/hostname', 'link')\nread('link')",
            "PermissionError",
            "symlink",
        ),
        (
            "import os\nos.symlink('/etc', 'folder')\nread('folder/hostname')",
            "PermissionError",
            "symlink",
        ),
        ("import os\nos.mkfifo('pipe')\nread('pipe')", "PermissionError", ""),
    ],
)
async def test_failures_come_back_as_exceptions(
    pictures: Path, code: str, kind: str, message: str
) -> None:
    outcome = await run(code, pictures)
    assert outcome.error is not None, outcome
    assert outcome.error.type == kind
    assert message in outcome.error.message
    if "os." not in code and "object()" not in code:
        assert outcome.tool_calls[-1].error is not None


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("binary", "returned a bytes"),
        ("many", "too large"),
        ("file", "large.bin, and 95 MiB of files: at most 64 MiB"),
        ("long error", "xxx"),
        ("secret", r"\u001b[31m cannot log in with [key]"),
    ],
)
async def test_what_would_harm_comes_as_a_short_error(
    how: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN_OF_MINE", "swordfish-swordfish")
    outcome = await run(f"hostile({how!r})")
    assert outcome.error is not None
    assert message in outcome.error.message
    kept = outcome.model_dump_json()
    assert len(kept) < 5_000
    assert "swordfish" not in kept
    assert "\x1b" not in outcome.error.message


async def test_what_drives_a_terminal_is_made_visible() -> None:
    outcome = await run("hostile('escapes')")
    assert outcome.tool_calls[0].result == {
        r"a\u001b[2J": [r"\u001b]0;title\u0007", "line\r\nnext\\u000dover", r"\ud800", "né\u200dé"]
    }
    assert "\x1b" not in outcome.value


async def test_a_tool_runs_as_often_at_once_as_it_says() -> None:
    running, most = 0, 0

    @tool(concurrency=2, timeout_s=0.4)
    def slow() -> None:
        """Takes its time."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.2)
        running -= 1

    async with ForkSandbox({"slow": slow}) as sandbox:
        outcomes = await sandbox.run(await sandbox.open(), ["slow()"] * 6)
    # Their time runs from their turn: the last two waited longer than they may take.
    assert [o.status for o in outcomes] == ["ok"] * 6, outcomes
    assert most == 2


async def test_code_can_handle_a_failure() -> None:
    outcome = await run("try:\n    fail('value')\nexcept ValueError as e:\n    print('handled', e)")
    assert outcome.stdout == "handled bad value\n"


async def test_a_file_that_a_tool_makes_lands_in_the_callers_workspace(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the tool's own files are the tool's
    code = "a = draw('one'); b = draw('two')\nprint(a, b, open(a).read(), open(b).read())"
    async with ForkSandbox(TOOLS) as sandbox:
        base = await sandbox.open(pictures)
        first, second = await sandbox.run(base, [code, "import os\nprint(sorted(os.listdir('.')))"])
    assert first.stdout == "drawn.txt drawn_1.txt one two\n"
    assert [f.path for f in first.files] == ["drawn.txt", "drawn_1.txt"]
    assert second.stdout == "['image_0.png']\n"


async def test_hung_tools_do_not_starve_the_others() -> None:
    async with ForkSandbox(TOOLS, tool_threads=1) as sandbox:
        base = await sandbox.open()
        codes = ["hang(3)", "hang(3)", "add(1)"]
        outcomes = await sandbox.run(base, codes)
    assert [o.status for o in outcomes] == ["error", "error", "ok"]


async def test_time_in_tools_is_not_the_candidates() -> None:
    from sport.sandbox import Limits

    slow = tool(timeout_s=10)(_slow)
    async with ForkSandbox({"slow": slow}, Limits(wall_s=0.5)) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, ["slow()"])
    assert outcome.status == "ok", outcome


def _slow() -> int:
    """Takes its time."""
    time.sleep(1.2)
    return 1


async def test_threads_of_a_candidate_may_call_tools_at_once() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n    print(list(pool.map(add, range(20))))"
    )
    outcome = await run(code)
    assert outcome.stdout == f"{[n + 1 for n in range(20)]}\n", outcome


async def test_calls_are_bounded_in_number() -> None:
    outcome = await run("for i in range(300): add(i)")
    assert outcome.error is not None
    assert "more than 200 calls" in outcome.error.message
    assert len(outcome.tool_calls) == 200
