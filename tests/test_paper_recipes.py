"""The paper's two agents by the recipes that are shipped, driven end to end with tiny models."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from remote.test_child import free_port
from sport.cli import app
from sport.pocket.model import build_model
from sport.policy.scripted import action
from sport.store import Run
from sport.types import END_OF_ACTION

RECIPES = Path(__file__).parents[1] / "recipes"
PLAYED = Path(__file__).parent / "remote" / "played_server.py"


class Teacher:
    """Plays the teacher, and the model that keeps every other of its trajectories."""

    def __init__(self) -> None:
        self.keeps = False

    def __call__(self, body: dict[str, Any]) -> list[str]:
        if "response_format" in body:
            self.keeps = not self.keeps
            return [json.dumps({"reason": "so", "keep": self.keeps})]
        looked = any(m["role"] == "assistant" for m in body["messages"])
        code = "final_answer(2)" if looked else 'print(ocr(image_path="image_0.png"))'
        return [action(code).removesuffix(END_OF_ACTION)]


def sport(command: str, recipe: str, out: Path, **changes: object) -> str:
    arguments = [command, str(RECIPES / recipe), "--out", str(out)]
    for key, value in changes.items():
        arguments += ["-o", f"{key.replace('__', '.')}={value}"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_t3_and_then_sport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test-0123456789")
    model, processor = build_model(
        hidden=64, layers=2, heads=2, vision_hidden=16, vision_layers=1, image_size=32,
        context=24_000,
    )  # fmt: skip
    model.save_pretrained(tmp_path / "student")
    processor.save_pretrained(tmp_path / "student")
    here = {"policy__model": tmp_path / "student", "policy__device": "cpu", "policy__threads": 1,
            "policy__dtype": "float32", "synthesis__tasks_per_round": 4}  # fmt: skip

    with FaultServer(says=Teacher()) as teacher:
        servers = dict.fromkeys(("policy__server__url", "verifier__server__url"), teacher.url)
        sport("explore", "t3.toml", tmp_path / "t3", **here, **servers)
        told = sport("sft", "t3.toml", tmp_path / "t3", **here, **servers)
    assert {request["model"] for request in teacher.requests} == {"gpt-4o-mini"}
    assert {t.policy for t in Run.open(tmp_path / "t3").trajectories(1)} == {"gpt-4o-mini"}
    assert "2 of 4 trajectories" in " ".join(told.split())
    adapter = tmp_path / "t3" / "adapters" / "r1-sft"
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 64

    def command(role: str) -> str:
        return json.dumps([sys.executable, "-S", str(PLAYED), role, "--port", "{port}"])

    ports = (free_port(), free_port())
    sport(
        "run", "sport.toml", tmp_path / "sport", **here, policy__adapter=adapter,
        policy__server__url=f"http://127.0.0.1:{ports[0]}/v1",
        verifier__server__url=f"http://127.0.0.1:{ports[1]}/v1",
        policy__serve__command=command("controller"), verifier__serve__command=command("verifier"),
        evaluation__test=2, evaluation__dev=1,
    )  # fmt: skip
    loop = Run.open(tmp_path / "sport")
    assert {t.policy for t in loop.trajectories(1)} == {"student+r1-sft"}
    assert {t.policy for t in loop.evaluation(1, "test")} == {"student+r1"}
    assert {t.verifier for t in loop.trajectories(1)} == {"llm:Qwen/Qwen2.5-7B-Instruct"}
