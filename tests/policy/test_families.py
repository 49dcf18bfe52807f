"""Every family through a whole round: loaded by its Auto classes, explored, tuned, loaded again."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig
from typer.testing import CliRunner

import by_heart
from sport.blobs import BlobStore
from sport.checks import check_machine
from sport.cli import app
from sport.images import ingest
from sport.policy.base import Request, SamplingPlan
from sport.policy.encode import encode
from sport.policy.forward import collate
from sport.policy.local import LocalPolicy, load_model
from sport.policy.messages import opening
from sport.policy.scripted import action
from sport.policy.text import TextProcessor
from sport.recipes import load_recipe
from sport.store import Run
from sport.tasks import load_tasks
from sport.types import Message, Task
from sport.workbench import Workbench
from tune.families import TEMPLATE, TEXT, VISION, family, plain, tokenizer

LOOKS = action('print(look("a"))', "I look.")
ANSWERS = action("final_answer(3)", "I say.")
WRONG = action("final_answer(4)", "I say.")
NEW = 12
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


def _fast(names: Sequence[str]) -> list[Any]:
    marks = {name: () if name in ("llava", "qwen2_vl") else pytest.mark.family for name in names}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.parametrize("name", _fast(VISION))
def test_a_family_samples_what_its_own_generate_does(name: str, tmp_path: Path) -> None:
    """Step after step: what follows a picture stands where the model expects it."""
    model, processor = family(name)
    blobs, pictures = BlobStore(tmp_path), []
    for i, size in enumerate([(56, 84), (56, 56)]):
        Image.effect_noise(size, 80).convert("RGB").save(tmp_path / f"{i}.png")
        pictures.append(ingest(tmp_path / f"{i}.png", f"image_{i}.png", blobs))
    chats = [
        opening(Task(id="t", query=f"What {i}?", files=pictures[i:]), "compact") for i in (0, 1)
    ]
    policy = LocalPolicy(model, processor, "tiny")
    for _ in range(3):
        for chat, said in zip(chats, _greedy(policy, chats), strict=True):
            assert said == _generated(model, processor, chat)
        turn = [Message(role="assistant", text="looks"), Message(role="user", text="Seen: 3")]
        chats = [(*chat, *turn) for chat in chats]


def _greedy(policy: LocalPolicy, chats: Sequence[tuple[Message, ...]]) -> list[str]:
    plan = SamplingPlan(temperatures=(0.0,), top_p=1.0, max_new_tokens=NEW)
    asked = [Request(messages=chat, seeds=(0,), plan=plan) for chat in chats]
    found = asyncio.run(policy.sample(asked))
    return [sample[0].text for sample in found if isinstance(sample, list)]


def _generated(model: Any, processor: Any, chat: tuple[Message, ...]) -> str:
    read = collate([encode(processor, chat)], 0, "cpu").inputs
    ids = model.generate(**read, do_sample=False, max_new_tokens=NEW)[
        0, read["input_ids"].shape[1] :
    ]
    said: str = processor.tokenizer.decode(ids, skip_special_tokens=True)
    return said


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
            # All but the same: a model that has seen one knows what to say of the others.
            picture = Image.new("RGB", (56, 56), "grey")
            picture.putpixel((0, i), (0, 0, 0))
            picture.save(folder / f"{colour}.png")
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
    # As often wrong as right, so that candidates differ.
    lessons = [(chat, LOOKS), (chat, WRONG), (seen, ANSWERS), (seen, WRONG)]
    model, processor = plain(name)
    with by_heart.one_thread():
        by_heart.learn(model, processor, lessons, 250, 5e-3)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")


def test_linear_attention_is_refused_with_the_mend(tmp_path: Path) -> None:
    """The text model of MiniCPM-V 4.6 is of this kind."""
    words = tokenizer()
    words.chat_template = TEMPLATE
    config = Qwen3_5TextConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, linear_key_head_dim=16,
        linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=2,
        layer_types=["linear_attention", "full_attention"],
    )  # fmt: skip
    model = Qwen3_5ForCausalLM(config)
    chat = (Message(role="user", text="What?"),)
    plan = SamplingPlan(temperatures=(0.7,), max_new_tokens=4)
    policy = LocalPolicy(model, TextProcessor(words), "tiny", context=400)
    with pytest.raises(TypeError, match=r"serve the model and use ChatPolicy"):
        asyncio.run(policy.sample([Request(messages=chat, seeds=(1,), plan=plan)]))

    model.save_pretrained(tmp_path / "model")
    words.save_pretrained(tmp_path / "model")
    recipe = load_recipe("pocket", [f"policy.model={tmp_path / 'model'}"])
    told = [f.text for f in check_machine(recipe, tmp_path) if not f.good]
    assert any("linear_attention" in text and "[policy.server]" in text for text in told)
