"""Tools of MCP servers: one from PyPI that nobody here wrote, and one that misbehaves."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from sport.sandbox import ForkSandbox
from sport.tools.base import Tool, ToolNotFound, load_tools
from sport.tools.config import McpSettings, ToolSettings
from sport.tools.mcp_session import McpError

BAD = str(Path(__file__).with_name("bad_mcp_server.py"))
OVER_HTTP = (
    "from mcp_server_time.server import create_server; import sys; "
    "create_server('UTC').run('streamable-http', port=int(sys.argv[1]))"
)
Tools = dict[str, Tool]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(params=["stdio", "http"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[McpSettings]:
    """The server mcp-server-time, over either transport."""
    if request.param == "stdio":
        yield McpSettings(command=("mcp-server-time", "--local-timezone", "UTC"))
        return
    port = free_port()
    with clock_at(port, tmp_path / "log"):
        yield McpSettings(url=f"http://127.0.0.1:{port}/mcp")


@contextmanager
def clock_at(port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as said:
        command = [sys.executable, "-c", OVER_HTTP, str(port)]
        child = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        wait_for(port, child)
        yield
    finally:
        child.kill()
        child.wait()


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert child.poll() is None
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The tools of the server that misbehaves."""
    folder = tmp_path_factory.mktemp("recipe")
    servers = {"bad": McpSettings(command=("python", BAD))}
    settings = {"hang": ToolSettings(timeout_s=0.5), "die": ToolSettings(timeout_s=5)}
    return load_tools(["mcp:bad"], {}, folder, settings, servers)


async def test_a_server_from_pypi_answers_in_the_sandbox(
    clock: McpSettings, tmp_path: Path
) -> None:
    tools = load_tools(["mcp:clock"], {}, tmp_path, {}, {"clock": clock})
    assert list(tools) == ["get_current_time", "convert_time"]
    convert = tools["convert_time"]
    assert convert.signature == (
        "convert_time(source_timezone: str, time: str, target_timezone: str) -> dict[str, Any]"
    )
    assert "24-hour format" in convert.description
    assert (convert.side_effects, convert.deterministic) == (False, False)
    code = (
        "print(convert_time('UTC', '12:00', 'Asia/Tokyo')['time_difference'])\n"
        "try:\n    get_current_time('Nowhere/Town')\nexcept RuntimeError as error:\n"
        "    print(error)\n"
        "get_current_time(zone='UTC')"
    )
    async with ForkSandbox(tools) as sandbox:
        [outcome] = await sandbox.run(await sandbox.open(), [code])
    assert outcome.stdout.startswith("+9.0h\n")
    assert "Invalid timezone" in outcome.stdout
    assert outcome.error is not None
    assert "has no argument 'zone'; call it as get_current_time(timezone" in outcome.error.message


def test_a_server_at_an_address_may_be_started_anew(tmp_path: Path) -> None:
    port = free_port()
    servers = {"clock": McpSettings(url=f"http://127.0.0.1:{port}/mcp")}
    asked = {"timezone": "UTC"}
    with clock_at(port, tmp_path / "log"):
        now = load_tools(["mcp:clock"], {}, tmp_path, {}, servers)["get_current_time"]
        now(tmp_path, asked)
    for _ in range(2):
        with pytest.raises(McpError, match="'clock' .*127.0.0.1"):
            now(tmp_path, asked)
    with clock_at(port, tmp_path / "log"):
        assert now(tmp_path, asked)["timezone"] == "UTC"  # type: ignore[index,call-overload]


def test_one_tool_of_a_server_can_be_taken(tmp_path: Path) -> None:
    servers = {"clock": McpSettings(command=("mcp-server-time",))}
    tools = load_tools(["mcp:clock/convert_time"], {}, tmp_path, {}, servers)
    assert list(tools) == ["convert_time"]
    with pytest.raises(ToolNotFound, match="no tool 'now'; it has: get_current_time, convert_time"):
        load_tools(["mcp:clock/now"], {}, tmp_path, {}, servers)


def test_odd_names_and_schemas_become_a_signature(bad: Tools, tmp_path: Path) -> None:
    assert bad["read_file"].signature.startswith(
        "read_file(file_path: str, class_: int | None = None)"
    )
    assert bad["choose"].signature.startswith(
        "choose(colour: Literal['red', 'blue'], sizes: list[int] | None = None)"
    )
    with pytest.raises(TypeError, match="wants Literal.*'colour', got 'green'"):
        bad["choose"].bind([], {"colour": "green"})
    assert bad["choose"](tmp_path, {"colour": "red"}) == "[('colour', 'red')]"
    assert "\x1b" not in bad["die"].description and "\u202e" not in bad["die"].description


def test_a_file_argument_is_a_copy_of_a_file_of_the_workspace(bad: Tools, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    assert bad["read_file"](tmp_path, {"file_path": "note.txt"}) == "hello"
    with pytest.raises(PermissionError, match="outside the workspace"):
        bad["read_file"](tmp_path, {"file_path": "/etc/hostname"})


def test_a_picture_becomes_a_file_of_the_workspace(bad: Tools, tmp_path: Path) -> None:
    assert bad["picture"](tmp_path, {}) == ["a red one", "image.png"]
    with Image.open(tmp_path / "image.png") as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((3, 2), (255, 0, 0))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ("fail", "ToolFailed", "no such thing"),
        ("lie", "McpError", "bad.*failed.*price"),
        ("strict", "McpError", "refused"),
    ],
)
def test_failures_are_told(bad: Tools, tmp_path: Path, call: str, kind: str, message: str) -> None:
    arguments = {"number": "7"} if call == "strict" else {}
    with pytest.raises(Exception, match=message) as caught:
        bad[call](tmp_path, arguments)
    assert type(caught.value).__name__ == kind


def test_a_server_that_died_is_started_again_at_the_next_call(bad: Tools, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="ended during the call; it said: out of memory"):
        bad["die"](tmp_path, {})
    assert bad["choose"](tmp_path, {"colour": "blue"}) == "[('colour', 'blue')]"


def test_a_server_that_hangs_is_started_again_at_the_next_call(bad: Tools, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="did not answer within 0.5 s"):
        bad["hang"](tmp_path, {})
    assert bad["choose"](tmp_path, {"colour": "blue"}) == "[('colour', 'blue')]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (McpSettings(command=("python", BAD, "dead")), "'x' .*cannot be reached.*has run out"),
        (McpSettings(command=("python", BAD, "silent"), start_s=0.5), "did not answer within 0.5"),
        (McpSettings(command=("no-such-command",)), "'x' .*cannot be reached.*no-such-command"),
        (McpSettings(url="http://127.0.0.1:9/mcp", start_s=5), "'x' .*(reached|answer)"),
        (McpSettings(command=("python", BAD), env=("NOT_SET_HERE",)), "NOT_SET_HERE is not set"),
        (McpSettings(url="http://127.0.0.1:9", key_env="NOT_SET_HERE"), "NOT_SET_HERE is not set"),
    ],
)
def test_a_server_that_cannot_be_had_is_one_clear_error(
    tmp_path: Path, settings: McpSettings, message: str
) -> None:
    with pytest.raises(ToolNotFound, match=message) as caught:
        load_tools(["mcp:x"], {}, tmp_path, {}, {"x": settings})
    assert len(str(caught.value)) < 600


def test_its_last_words_are_fit_to_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD_SERVER_TOKEN", "swordfish")
    dead = McpSettings(command=("python", BAD, "dead"), env=("BAD_SERVER_TOKEN",))
    with pytest.raises(ToolNotFound) as caught:
        load_tools(["mcp:x"], {}, tmp_path, {}, {"x": dead})
    assert r"it said: \u001b[31mthe licence [key] has run out" in str(caught.value)


def test_a_server_that_no_section_names(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFound, match=r"no section \[mcp.y\]; there are: x"):
        load_tools(["mcp:y"], {}, tmp_path, {}, {"x": McpSettings(command=("python",))})
