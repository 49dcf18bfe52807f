"""Every family through a whole round: loaded by its Auto classes, explored, tuned, loaded again."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import by_heart
from sport.blobs import BlobStore
from sport.cli import app
from sport.policy.encode import encode
from sport.policy.local import load_model
from sport.policy.scripted import action
from sport.recipes import load_recipe
from sport.store import Run
from sport.tasks import load_tasks
from sport.types import Message
from sport.workbench import Workbench
from tune.families import TEXT, VISION, plain

LOOKS = action('print(look("a"))', "I look.")
ANSWERS = action("final_answer(3)", "I say.")
WRONG = action("final_answer(4)", "I say.")
COLOURS = ("red", "green", "blue", "white", "black")

TOOL = """
from sport.tools.function import tool

@tool
def look(word: str) -> int:
    "Looks."
    return 3
"""
RECIPE = """
rounds = 1
tasks = "tasks.jsonl"
tools = ["eyes:look"]
[policy]
model = "model"
threads = 1
[sampling]
temperatures = [0.7, 1.2, 1.2]
max_new_tokens = 120
[explore]
max_steps = 2
group = 8
[verifier]
kind = "oracle"
[[tune]]
kind = "sft"
[tune.lora]
r = 4
[[tune]]
kind = "dpo"
[tune.lora]
r = 4
[evaluation]
controls = []
early_stop = false
"""


@pytest.mark.family
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*VISION, *TEXT])
def test_a_family_goes_through_a_whole_round(name: str, tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, pictures=name in VISION)
    _model(name, recipe, tmp_path)
    done = CliRunner().invoke(app, ["run", str(recipe), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output

    run = Run.open(tmp_path / "run")
    explored, tuned = list(run.trajectories(1)), list(run.evaluation(1, "held-out"))
    assert {t.policy for t in explored} == {"model"}
    assert {t.policy for t in tuned} == {"model+r1"}
    told = [json.loads(x) for x in (run.path / "rounds/1/tuning.jsonl").read_text().splitlines()]
    assert {"sft", "dpo"} <= {row["stage"] for row in told}

    before, processor = load_model(tmp_path / "model")
    after, _ = load_model(tmp_path / "model", run.adapter(1))
    chat = encode(processor, explored[0].opening)
    assert chat.images == (name in VISION), "the picture reaches the model"
    with torch.no_grad():
        inputs = {"input_ids": torch.tensor([chat.ids]), **chat.vision}
        inputs |= {k: torch.tensor([v]) for k, v in chat.aligned.items()}
        assert not torch.allclose(before(**inputs).logits, after(**inputs).logits)


def _recipe(folder: Path, pictures: bool) -> Path:
    """Five tasks of one query, each with a picture of its own, or a text."""
    rows = []
    for i, colour in enumerate(COLOURS):
        row = {"query": "How many?", "answer": 3, "tools": ["look"], "id": f"t{i}"}
        if pictures:
            Image.new("RGB", (56, 56), colour).save(folder / f"{colour}.png")
            row["files"] = [f"{colour}.png"]
        else:
            (folder / f"{colour}.txt").write_text(colour)
            row["files"] = [f"{colour}.txt"]
        rows.append(json.dumps(row))
    (folder / "tasks.jsonl").write_text("\n".join(rows))
    (folder / "eyes.py").write_text(TOOL)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def _model(name: str, recipe: Path, folder: Path) -> None:
    """A family's model that has seen how a task is solved, and how it is not."""
    task = load_tasks(folder / "tasks.jsonl", BlobStore(folder / "blobs"))[0]
    chat = Workbench(load_recipe(str(recipe))).opening(task)
    seen = (
        *chat,
        Message(role="assistant", text=LOOKS),
        Message(role="user", text="Observation:\n3"),
    )
    lessons = [
        (chat, LOOKS),
        (chat, LOOKS),
        (chat, WRONG),
        (seen, ANSWERS),
        (seen, ANSWERS),
        (seen, WRONG),
    ]
    model, processor = plain(name)
    with by_heart.one_thread():
        by_heart.learn(model, processor, lessons, 150, 1e-2)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
