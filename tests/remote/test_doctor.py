"""`sport doctor RECIPE` finds each fault of a server, planted one by one."""

import shutil
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
model = "pocket"
[policy.server]
url = "{url}"
model = "base"
attempt_timeout_s = 2
"""


def whole(folder: Path, recipe: str) -> str:
    """All that it says."""
    file = folder / "recipe.toml"
    file.write_text(recipe)
    output = CliRunner().invoke(app, ["doctor", str(file)]).output
    return "\n".join(" ".join(x.split()) for x in output.split("\n"))


def doctor(folder: Path, url: str, more: str = "") -> str:
    """What it says of the server."""
    lines = whole(folder, RECIPE.format(url=url) + more).split("\n")
    return "\n".join(x for x in lines if "policy at" in x)


def test_a_good_server_is_good(tmp_path: Path) -> None:
    with FaultServer() as server:
        told = doctor(tmp_path, server.url)
    assert len(told.splitlines()) == 6 and told.count("ok policy at") == 6
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
        ({"breaks_on": ("stop",)}, '-- policy at {url}: does not take "stop": HTTP 500'),
        ({"breaks_on": ("seed", "top_p")}, 'Set omit = ["top_p", "seed"].'),
        ({"context": 4096}, "-- policy at {url}: has a context of 4,096 tokens"),
        ({"context": 65536}, "ok policy at {url}: has a context of 65,536 tokens"),
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


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"lora": True, "rank": 16}, "-- policy at {url}: refuses adapters of rank 64"),
        ({"lora": False}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and --max-lora-rank 64"),
        ({"lora": True}, "ok policy at {url}: loads adapters of rank 64 while it runs"),
    ],
)
def test_whether_tuned_adapters_will_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: dict[str, Any], found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer(**planted) as server:
        told = doctor(tmp_path, server.url, "load_adapters = true\n")
        assert found.format(url=server.url) in told
        assert server.max_lora == [], "what was tried is unloaded"
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.toml"]


LOCAL = "rounds = 2\n[synthesis]\n[[tune]]\nkind = 'dpo'\n"


def test_what_this_machine_has(tmp_path: Path) -> None:
    told = whole(tmp_path, LOCAL)
    for found in ("ok tool ocr", "ok memory: tuning needs about", "ok disk: about"):
        assert found in told, told


def test_a_tool_that_is_not_there_hides_no_other(tmp_path: Path) -> None:
    told = whole(tmp_path, 'tools = ["ocr", "no_such_tool"]\n' + LOCAL)
    assert "ok tool ocr" in told and "-- " in told and "no_such_tool" in told


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    told = whole(tmp_path, f'{LOCAL}[policy]\nmodel = "{tmp_path / "model"}"\n')
    assert "-- policy.model = " in told and "cannot be read" in told


def test_too_little_memory(tmp_path: Path) -> None:
    told = whole(tmp_path, LOCAL + "token_budget = 1_000_000_000\n")
    assert "-- memory: tuning needs about" in told and "lower token_budget" in told


def test_no_such_gpu(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert "there is no such GPU here" in whole(tmp_path, LOCAL + '[policy]\ndevice = "cuda"\n')


def test_too_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "-- disk: about" in whole(tmp_path, LOCAL)


def test_a_verifier_is_asked_for_json_as_runs_ask_it(tmp_path: Path) -> None:
    with FaultServer(breaks_on=("response_format",)) as server:
        more = f'[verifier]\nkind = "llm"\n[verifier.server]\nurl = "{server.url}"\nmodel = "m"\n'
        told = whole(tmp_path, LOCAL + more)
    assert f'-- verifier at {server.url}: does not take "response_format"' in told


def test_a_server_that_runs_start_is_started_asked_and_ended(tmp_path: Path) -> None:
    serve = '[policy.serve]\ncommand = ["no-such-server", "{model}"]\n'
    told = doctor(tmp_path, "http://127.0.0.1:18999/v1", serve)
    assert "-- policy at" in told and "no-such-server" in told and "ended with status 127" in told


WRITES = """
rounds = 1
tools = ["ocr"]
[synthesis]
kind = "llm"
from_tools = true
[synthesis.server]
url = "{writer}"
model = "writer"
[synthesis.checker]
url = "{looker}"
model = "looker"
"""


def test_servers_that_write_and_check_tasks_are_asked(tmp_path: Path) -> None:
    """The one that checks must see pictures, and the one that writes need not."""
    with FaultServer(blind=True) as writer, FaultServer(blind=True) as looker:
        told = whole(tmp_path, WRITES.format(writer=writer.url, looker=looker.url))
    lines = [line for line in told.splitlines() if "synthesis" in line]
    assert f"ok synthesis at {writer.url}: answers as writer" in "\n".join(lines)
    assert not any("synthesis at" in line and "pictures" in line for line in lines)
    assert f"-- synthesis.checker at {looker.url}: takes no pictures" in "\n".join(lines)


EMBEDS = """
pictures = ["photos"]
[synthesis.embeddings]
url = "{embeds}"
model = "bge-m3"
[synthesis.server]
"""


def test_a_server_of_embeddings_is_asked_for_a_vector(tmp_path: Path) -> None:
    def vector(body: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"index": 0, "embedding": [0.5, 0.25, 1.0]}]

    with FaultServer() as chat, FaultServer(embeds=vector) as embeds:
        text = WRITES.format(writer=chat.url, looker=chat.url)
        text = text.replace("[synthesis.server]", EMBEDS.format(embeds=embeds.url))
        told = whole(tmp_path, text)
        assert f"ok synthesis.embeddings at {embeds.url}: gives vectors of 3 numbers" in told
        told = whole(tmp_path, text.replace(embeds.url, chat.url))
    assert f"-- synthesis.embeddings at {chat.url}: {chat.url}/embeddings answered 404" in told
