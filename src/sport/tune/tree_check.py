"""Whether trees serve a model: a small one is computed both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sport.policy.encode import action_ids, encode
from sport.policy.forward import base_model
from sport.policy.layouts import allow_layouts
from sport.policy.scripted import action
from sport.tune.logps import action_row, sequence_logps
from sport.tune.tree import build_tree
from sport.tune.tree_forward import tree_logps
from sport.types import File, Message, Trajectory

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 3e-2, torch.bfloat16: 3e-2}
"""Largest difference of log-probabilities, relatively, by the type of the weights."""

_STRETCHED = {"dynamic", "longrope"}
"""Rotary embeddings that depend on the length of the row that a token stands in."""

_TEXTS = (
    action("text = ocr(image_path='image_0.png')\nprint(text)", "I will read."),
    action("text = 3 * 4\nprint(text)", "I will read it off."),
    action("text = '12'\nprint(text)", "I will read it off."),
    action("final_answer(12)", "Now I know."),
    action("final_answer(120)", "Now I know."),
    action("final_answer(None)", "I give up."),
)


def why_no_trees(
    model: nn.Module, processor: Any, trajectories: Sequence[Trajectory]
) -> str | None:
    """Why trees do not serve a model; ``None`` if they do.

    Two steps with three candidates each, and a picture of the trajectories' where there is one,
    are computed as a tree and as whole sequences.
    """
    rope = getattr(base_model(model).config.get_text_config(), "rope_parameters", None) or {}
    if rope.get("rope_type") in _STRETCHED:
        return f"its rotary embedding is {rope['rope_type']}: it depends on the row's length"
    with torch.no_grad():
        try:
            tree, whole = _both_ways(model, processor, _a_picture(trajectories))
        # Whatever an architecture does not take is a reason, and is told.
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    # Log-probabilities near 0 are differences of large logits.
    worst = float(((tree - whole).abs() / whole.abs().clamp(min=10)).max())
    allowed = TOLERANCE[base_model(model).dtype]
    if worst <= allowed:
        return None
    return f"log-probabilities differ by {worst:.1e} of themselves, and {allowed:.0e} is allowed"


def _both_ways(model: nn.Module, processor: Any, images: tuple[File, ...]) -> tuple[Tensor, Tensor]:
    first = (Message(role="user", text="How many are there?", images=images),)
    seen = Message(role="user", text="Observation:\n12", images=images)
    second = (*first, Message(role="assistant", text=_TEXTS[0]), seen)
    chats = [encode(processor, chat) for chat in [first] * 3 + [second] * 3]
    actions = [action_ids(processor, text) for text in _TEXTS]
    rows = [action_row(chat, ids) for chat, ids in zip(chats, actions, strict=True)]
    whole = torch.cat([sequence_logps(model, processor, [row]) for row in rows])
    allow_layouts(model)
    starts = [len(chat.ids) for chat in chats]
    [tree] = tree_logps(model, [build_tree(chats[-1], list(zip(starts, actions, strict=True)))])
    return tree, whole


def _a_picture(trajectories: Sequence[Trajectory]) -> tuple[File, ...]:
    for trajectory in trajectories:
        for message in trajectory.opening:
            if message.images:
                return message.images[:1]
    return ()
