from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from tune_toys import candidate, picture, small_world, step, tiny_model, trajectory

from sport.policy.messages import history
from sport.tune import build_pairs, preference_logps
from sport.tune.logps import group_by_length
from sport.types import PreferencePair, Trajectory


@pytest.fixture(scope="module")
def double() -> Iterator[tuple[Any, Any]]:
    """A model in float64 throughout: Llama's norm otherwise passes through float32."""
    model, processor = tiny_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LlamaRMSNorm, "forward", exact_norm)
        yield model.double(), processor


def exact_norm(self: LlamaRMSNorm, hidden: torch.Tensor) -> torch.Tensor:
    variance = hidden.pow(2).mean(-1, keepdim=True)
    return self.weight * hidden * torch.rsqrt(variance + self.variance_epsilon)


def naive_logp(model: Any, processor: Any, trajectory: Trajectory, at: int, index: int) -> float:
    """By the book: the processor's own chat encoding, one row, softmax over the vocabulary."""
    messages = history(trajectory.opening, trajectory.steps[:at])
    chat = [
        {
            "role": m.role,
            "content": [*[{"type": "image"}] * len(m.images), {"type": "text", "text": m.text}],
        }
        for m in messages
    ]
    prompt = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    images = [Image.open(i.path) for m in messages for i in m.images]
    action = trajectory.steps[at].candidates[index].action.text
    begin = processor(text=[prompt], images=images or None, return_tensors="pt")
    whole = processor(text=[prompt + action], images=images or None, return_tensors="pt")
    start = begin["input_ids"].shape[1]
    ids = whole["input_ids"][0]
    assert begin["input_ids"][0].tolist() == ids[:start].tolist()
    with torch.no_grad():
        logits = model(**{k: v.double() if v.is_floating_point() else v for k, v in whole.items()})
    logps = logits.logits[0].log_softmax(-1)
    return sum(float(logps[k - 1, ids[k]]) for k in range(start, len(ids)))


def as_pairs(trajectories: list[Trajectory]) -> list[tuple[Trajectory, PreferencePair]]:
    by_id = {t.task.id: t for t in trajectories}
    return [(by_id[p.task_id], p) for p in build_pairs(trajectories)[0]]


@pytest.mark.parametrize("budget", [256, 16_384])
def test_equal_to_a_naive_softmax_in_float64(
    double: tuple[Any, Any], tmp_path: Path, budget: int
) -> None:
    model, processor = double
    told = small_world(tmp_path, tasks=2)
    two_images = [picture(tmp_path, 8), picture(tmp_path, 9)]
    told.append(trajectory([step(0, [candidate("a = 1"), candidate("b = 22")])], two_images, "u"))
    with torch.no_grad():
        found = preference_logps(model, processor, told, token_budget=budget)
    assert found.dtype == torch.float64
    expected = [
        [naive_logp(model, processor, t, p.step, i) for i in (p.chosen, p.rejected)]
        for t, p in as_pairs(told)
    ]
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0
    )


def test_gradients_flow(double: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = double
    preference_logps(model, processor, small_world(tmp_path, 1)).sum().backward()
    grown = [n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("vision_tower" in n for n in grown), "through the pixels"
    assert any("language_model" in n for n in grown)
    model.zero_grad(set_to_none=True)


def test_d9_the_pixels_reach_the_forward_pass(double: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = double
    steps = [step(0, [candidate("a = 1"), candidate("b = 22")])]
    one, other = picture(tmp_path, 1), picture(tmp_path, 2)

    def logps(*images: Any) -> torch.Tensor:
        with torch.no_grad():
            return preference_logps(model, processor, [trajectory(steps, images)])

    assert not torch.allclose(logps(one), logps(other)), "another picture"
    assert not torch.allclose(logps(one, other), logps(other, one)), "another order"
    assert not torch.allclose(logps(one, other), logps(one, one)), "another second picture"


def test_no_pairs_no_rows(double: tuple[Any, Any]) -> None:
    assert preference_logps(*double, []).shape == (0, 2)


def test_two_trajectories_of_one_task_are_refused(double: tuple[Any, Any], tmp_path: Path) -> None:
    told = small_world(tmp_path, 1) * 2
    with pytest.raises(ValueError, match="several trajectories"):
        preference_logps(*double, told)


def test_forwards_keep_to_the_budget() -> None:
    lengths, rows = [10, 500, 40, 33, 64, 90], [3, 2, 1, 1, 2, 1]
    groups = group_by_length(lengths, rows, 256)
    assert sorted(i for g in groups for i in g) == list(range(6))
    assert groups[0] == [1], "what exceeds the budget is alone, not truncated"
    for group in groups[1:]:
        width = -(-max(lengths[i] for i in group) // 32) * 32
        assert width * sum(rows[i] for i in group) <= 256


def test_forwards_hold_similar_lengths_once_they_are_large() -> None:
    assert group_by_length([1024, 1000, 300], [1, 1, 1], 10_000) == [[0, 1], [2]]
    assert group_by_length([512, 300], [1, 1], 10_000) == [[0, 1]]
