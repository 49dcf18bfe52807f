"""Against a server that nobody here wrote: transformers' own, with a tiny saved model.

It ignores ``n``, knows no adapters, and answers 500 to whatever it cannot do: to ``stop`` with a
vision-language model, and to the list of its models where there is no hub cache.
"""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from transformers import AutoProcessor
from typer.testing import CliRunner

import by_heart
from sport.blobs import BlobStore
from sport.cli import app
from sport.files import take_files
from sport.policy.base import Missing, Request, SamplingPlan
from sport.policy.chat import ChatPolicy
from sport.policy.encode import encode
from sport.policy.messages import opening
from sport.remote.child import ChildServer
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings, ServeSettings
from sport.remote.ledger import Ledger, of_models, read_usage
from sport.store import Run
from sport.types import Action, Task

pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn: the extra dev")
pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SERVE = (
    str(Path(sys.executable).with_name("transformers")), "serve", "{model}",
    "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu",
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return by_heart.save_model(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server's address."""
    address = f"http://127.0.0.1:{free_port()}/v1"
    log = tmp_path_factory.mktemp("log") / "server.log"
    server = ChildServer(ServeSettings(command=SERVE), address, log)
    server.start(str(model))
    yield address
    server.stop()


@pytest.fixture
def request_with_picture(tmp_path: Path) -> Request:
    Image.new("RGB", (48, 32), "red").save(tmp_path / "image_0.png")
    [picture] = take_files([str(tmp_path / "image_0.png")], BlobStore(tmp_path / "blobs"), 10**6)
    task = Task(id="t", query=by_heart.QUERIES[0], files=(picture,))
    plan = SamplingPlan(max_new_tokens=32)
    return Request(messages=opening(task, "compact"), seeds=(1, 2, 3, 4, 5), plan=plan)


async def sampled(
    url: str, model: Path, request: Request, ledger: Ledger, **settings: object
) -> list[Action | Missing]:
    server = ServerSettings.model_validate({"url": url, "backoff_s": 0.01, **settings})
    async with ChatPolicy(ChatClient(server, str(model), "policy", ledger), "p") as policy:
        [sample] = await policy.sample([request])
    assert not isinstance(sample, Exception)
    return list(sample)


async def test_five_candidates_come_of_a_server_that_ignores_n(
    url: str, model: Path, request_with_picture: Request, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "usage.jsonl")
    with ledger.at("explore", 1):
        found = await sampled(url, model, request_with_picture, ledger, omit=("stop",))
    assert [c.temperature for c in found if isinstance(c, Action)] == [0.7, 1.2, 1.2, 1.2, 1.2]
    known = (by_heart.READS, by_heart.FAILS, by_heart.GUESSES)
    assert any(isinstance(c, Action) and c.text in known for c in found), (
        "actions end at the marker"
    )
    [(_, usage)] = of_models(read_usage(tmp_path / "usage.jsonl"))
    assert usage.requests == 5 and usage.tokens_out <= 5 * 32
    # Three answers of one choice where several were asked for; then they are asked for apart.
    assert usage.faults["fewer choices"] == 3
    # It reads what is read here: the text, and the picture at its place.
    processor = AutoProcessor.from_pretrained(model)
    prompt = encode(processor, request_with_picture.messages)
    assert prompt.images == 1 and usage.tokens_in == 5 * len(prompt.ids)


async def test_its_faults_make_missing_candidates_with_their_reason(
    url: str, model: Path, request_with_picture: Request
) -> None:
    found = await sampled(url, model, request_with_picture, Ledger(), attempts=2)
    assert {type(c) for c in found} == {Missing}
    assert all("HTTP 500" in c.reason for c in found if isinstance(c, Missing))


def test_doctor_says_which_key_it_does_not_take(url: str, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    policy = f'[policy]\nkind = "chat"\nmodel = "{model}"\n[policy.server]\nurl = "{url}"\n'
    file.write_text(f"[synthesis]\n{policy}")
    told = " ".join(CliRunner().invoke(app, ["doctor", str(file)]).output.split())
    assert 'omit = ["stop"]' in told, told
    file.write_text(f'[synthesis]\n{policy}omit = ["stop"]\n')
    told = " ".join(CliRunner().invoke(app, ["doctor", str(file)]).output.split())
    assert "ignores n" in told and "takes pictures" in told and "omit = [" not in told


RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = 3
[policy]
kind = "chat"
model = "{model}"
threads = 1
[policy.server]
url = "{url}"
concurrency = 2
omit = ["stop"]
key_env = "PLANTED_KEY"
[policy.serve]
command = {command}
[sampling]
temperatures = [0.7, 1.2, 1.2]
max_new_tokens = 32
[explore]
max_steps = 2
[verifier]
kind = "random"
[[tune]]
kind = "sft"
[tune.lora]
r = 4
[evaluation]
test = 2
dev = 2
controls = []
early_stop = false
"""


def test_a_whole_run_starts_restarts_and_ends_its_server(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_KEY", "sk-planted-0123456789")
    file, folder = tmp_path / "served.toml", tmp_path / "run"
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"
    file.write_text(RECIPE.format(model=model, url=address, command=json.dumps(SERVE)))
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    run = Run.open(folder)
    assert {t.policy for t in run.trajectories(1)} == {"model"}
    assert {t.policy for t in run.evaluation(1, "test")} == {"model+r1"}
    log = (folder / "server-policy.log").read_text()
    merged = next((folder / "cache" / "merged").iterdir())
    assert f"Loading {model}@main" in log and f"Loading {merged}@main" in log
    assert {account.model for account, _ in of_models(run.usage())} == {str(model), str(merged)}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "it ends with the run"
    assert not any("serve" in p.info["cmdline"] and str(port) in p.info["cmdline"]
                   for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"])  # fmt: skip
    held = [p for p in folder.rglob("*") if p.is_file() and b"sk-planted" in p.read_bytes()]
    assert held == []
