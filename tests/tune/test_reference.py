"""The reference: computed once, kept on the disk, and named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tune_toys import picture, small_world, tiny_model

from sport.policy.local import LocalPolicy
from sport.tune import Hooks, LoraSettings, StepDPOConfig, TreeDPO
from sport.types import Trajectory

CONFIG = StepDPOConfig(batch_pairs=100, learning_rate=1e-2, lora=LoraSettings(r=4, alpha=8))


def policy(adapter: Path | None = None) -> LocalPolicy:
    model, processor = tiny_model()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    return LocalPolicy(model, processor, "toy")


def tune(
    tmp_path: Path,
    told: list[Trajectory],
    start: LocalPolicy,
    name: str = "r1",
    config: StepDPOConfig = CONFIG,
) -> tuple[Path, int, dict[str, Any]]:
    """The adapter, how many units' references were computed, and the first step's row."""
    heard: list[dict[str, Any]] = []
    hooks = Hooks(on_step=heard.append)
    cache = tmp_path / "cache" / "references.jsonl"
    out = TreeDPO(config, hooks=hooks, cache=cache).tune(told, start, tmp_path / name)
    computed = max((row["done"] for row in heard if "phase" in row), default=0)
    return out, computed, next(row for row in heard if "step" in row)


def test_it_is_computed_once_for_the_same_model_and_content(tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 3)
    first, computed, row = tune(tmp_path, told, policy())
    assert computed == 3
    _, computed, again = tune(tmp_path, told, policy(), "again")
    assert computed == 0
    assert again["loss"] == row["loss"] and again["grad_norm"] == row["grad_norm"]

    more = small_world(tmp_path / "blobs", 4)
    assert tune(tmp_path, more, policy(), "more")[1] == 1, "what is new alone"
    other = told[0].opening[0].model_copy(update={"images": (picture(tmp_path / "blobs", 9),)})
    changed = [told[0].model_copy(update={"opening": (other,)}), *told[1:]]
    assert tune(tmp_path, changed, policy(), "picture")[1] == 1, "another picture"
    assert tune(tmp_path, told, policy(first), "adapter")[1] == 3, "another adapter"
    assert tune(tmp_path, told, policy(first), "same")[1] == 0
    changed_model = policy()
    with torch.no_grad():
        next(changed_model.model.parameters()).mul_(1.01)
    assert tune(tmp_path, told, changed_model, "model")[1] == 3, "another model"


def test_a_torn_line_is_computed_again(tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 3)
    tune(tmp_path, told, policy())
    cache = tmp_path / "cache" / "references.jsonl"
    content = cache.read_bytes()
    cache.write_bytes(content[:-5])
    assert tune(tmp_path, told, policy(), "again")[1] == 1
    assert [json.loads(line)["key"] for line in cache.read_bytes().splitlines()]
    assert cache.read_bytes() == content


def test_it_is_the_start_of_the_round_or_the_base_model(tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 3)
    adapter, _, _ = tune(tmp_path, told, policy(), config=CONFIG.model_copy(update={"epochs": 3}))
    _, _, start = tune(tmp_path, told, policy(adapter), "start")
    assert start["loss"] == pytest.approx(math.log(2), abs=1e-5)
    to_base = CONFIG.model_copy(update={"reference": "base"})
    _, computed, base = tune(tmp_path, told, policy(adapter), "base", to_base)
    assert computed == 0, "the first tuning started from the base model, so it is known"
    assert base["loss"] < 0.9 * math.log(2), "the adapter has moved away from the base model"
    assert base["margin"] > 0
