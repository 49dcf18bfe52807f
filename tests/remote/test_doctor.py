"""`sport doctor RECIPE` finds each fault of a server, planted one by one."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app

RECIPE = """
[synthesis]
[policy]
kind = "chat"
model = "base"
[policy.server]
url = "{url}"
attempt_timeout_s = 2
"""


def doctor(folder: Path, url: str, more: str = "") -> str:
    """What it says of the server."""
    file = folder / "recipe.toml"
    file.write_text(RECIPE.format(url=url) + more)
    output = CliRunner().invoke(app, ["doctor", str(file)]).output
    told = [" ".join(x.split()) for x in output.split("\n") if "policy at" in x]
    return "\n".join(told)


def test_a_good_server_is_good(tmp_path: Path) -> None:
    with FaultServer() as server:
        told = doctor(tmp_path, server.url)
    assert len(told.splitlines()) == 4 and told.count("ok policy at") == 4
    assert "answers as base" in told and "takes pictures" in told and "several choices" in told


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"refuses": (401, "no")}, "does not answer: {url}/chat/completions answered 401"),
        ({"refuses": (404, "no such model")}, "There is no such model or path"),
        ({"rate": 1.0, "faults": ("503",)}, "does not answer: HTTP 503"),
        ({"rate": 1.0, "faults": ("stall",), "stall_s": 3.0}, "does not answer: timeout"),
        ({"honours_n": False}, "ok policy at {url}: ignores n"),
        ({"usage": False}, "-- policy at {url}: does not say how many tokens"),
        ({"blind": True}, "-- policy at {url}: takes no pictures"),
    ],
)  # fmt: skip
def test_each_fault_is_found(tmp_path: Path, planted: dict[str, Any], found: str) -> None:
    with FaultServer(**planted) as server:
        assert found.format(url=server.url) in doctor(tmp_path, server.url)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    assert "does not answer: connection" in doctor(tmp_path, "http://127.0.0.1:9/v1")


def test_a_key_that_is_not_set(tmp_path: Path) -> None:
    told = doctor(tmp_path, "http://127.0.0.1:9/v1", 'key_env = "NOT_SET_ANYWHERE"')
    assert "NOT_SET_ANYWHERE is not set" in told
