"""Candidates that share what was read of their prompt: its keys and values are there once.

A forked cache holds a copy of the prompt for each candidate, and at every token each copy is read.
Here a candidate keeps its own tokens alone; the candidates of a chat attend to the prompt together,
as so many queries to one row, and what both parts give is joined by the weights that one softmax
over both would give (the same rule as in FlashAttention's blocks, arXiv 2205.14135).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sport.policy.cache import empty_cache, fork_cache
from sport.policy.encode import Encoded
from sport.policy.forward import base_model
from sport.policy.history import Histories, Layers
from sport.policy.layouts import allow_layouts
from sport.policy.read import go_on, mask_of, read_chats

SHARE_FROM = 768
"""Prompts from this length on, in tokens, are shared. Copies of a few hundred cost no more."""

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@dataclass(frozen=True)
class _Part:
    """What attention gives over a part of what is seen, before it is normalised.

    Attributes:
        values: Sum of the values, weighted by exponentials, ``(…, width)``.
        total: Sum of these weights, ``(…, 1)``.
        most: The score that was taken off all scores, ``(…, 1)``.
    """

    values: Tensor
    total: Tensor
    most: Tensor


class SharedPrompts:
    """Prompts as an attention layout: rows see their chat's prompt, and what they wrote."""

    def __init__(self, prompts: Sequence[Layers], repeats: Sequence[int]) -> None:
        """Takes what was read of chats, and how many rows go on from each."""
        padded: list[Any] = fork_cache(prompts, [1] * len(prompts), 0).layers
        self._layers: Layers = [(layer.keys, layer.values) for layer in padded]
        device = prompts[0][0][0].device
        lengths = torch.tensor([layers[0][0].shape[1] for layers in prompts], device=device)
        self._hidden = mask_of(lengths) == 0
        self._chats = torch.arange(len(prompts), device=device).repeat_interleave(
            torch.tensor(repeats, device=device)
        )
        self._arrange()

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these, and prompts that nobody goes on from."""
        alive, self._chats = self._chats[rows].unique(return_inverse=True)
        if len(alive) < len(self._hidden):
            self._layers = [(keys[alive], values[alive]) for keys, values in self._layers]
            self._hidden = self._hidden[alive]
        self._arrange()

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """See :class:`sport.policy.layouts.AttentionLayout`; one new token a row."""
        rows, heads, _, width = query.shape
        scale = width**-0.5 if scaling is None else scaling
        grouped = query.view(rows, key.shape[1], -1, width) * scale
        own = _part(grouped, key, value)
        layer: Any = module.layer_idx
        prompt = self._over_prompts(grouped, *self._layers[layer])
        most = torch.maximum(own.most, prompt.most)
        near, far = (own.most - most).exp(), (prompt.most - most).exp()
        total = near * own.total + far * prompt.total
        joined = (near * own.values + far * prompt.values) / total
        return joined.to(query.dtype).view(rows, heads, 1, width)

    def _over_prompts(self, query: Tensor, key: Tensor, value: Tensor) -> _Part:
        """What rows see of prompts: ``(rows, fewer heads, queries a head, …)`` each."""
        chats, (heads, queries, width) = len(self._hidden), query.shape[1:]
        together = query.new_zeros(chats, self._most, heads, queries, width)
        together[self._chats, self._places] = query
        stacked = together.transpose(1, 2).reshape(chats, heads, -1, width)
        found = _part(stacked, key, value, self._hidden if self._ragged else None)

        def by_row(tensor: Tensor) -> Tensor:
            parted = tensor.view(chats, heads, self._most, queries, -1)
            return parted[self._chats, :, self._places]

        return _Part(by_row(found.values), by_row(found.total), by_row(found.most))

    def _arrange(self) -> None:
        """Gives every row its place among its chat's rows, which stand one behind the other."""
        counts = self._chats.bincount(minlength=len(self._hidden))
        first = counts.cumsum(0) - counts
        self._places = torch.arange(len(self._chats), device=counts.device) - first[self._chats]
        self._most = int(counts.max())
        self._ragged = bool(self._hidden.any())


def _part(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = None) -> _Part:
    """Attention of scaled queries, in float32 at least; ``hidden`` is ``(rows, seen)``."""
    scores = query @ key.transpose(-1, -2)
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
    most = scores.amax(-1, keepdim=True)
    weights = (scores - most).exp_()
    values = (weights.to(value.dtype) @ value).to(weights.dtype)
    return _Part(values, weights.sum(-1, keepdim=True), most)


@torch.inference_mode()
def why_copies(model: nn.Module, text: Encoded) -> str | None:
    """Why candidates need copies of their prompt; ``None`` if the model can share one.

    A short prompt is gone on with both ways.

    Args:
        model: The model.
        text: Any chat without images, of at least two tokens.
    """
    try:
        allow_layouts(model)
        _, [read] = read_chats(model, [text], 0, Histories(0))
        [shared, forked] = (_two_steps(model, read.layers, text.ids, how) for how in (True, False))
    # Whatever an architecture does not take is a reason, and is told; copies serve every one.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    worst = float((shared - forked).abs().max() / forked.abs().max())
    if worst <= _TOLERANCE.get(base_model(model).dtype, 3e-2):
        return None
    return f"hidden states differ by {worst:.1e} of the largest"


def _two_steps(model: nn.Module, prompt: Layers, ids: Sequence[int], share: bool) -> Tensor:
    """Hidden states of two candidates, which write the prompt's first tokens, crosswise."""
    tokens = torch.tensor([[ids[0], ids[1]], [ids[1], ids[0]]], device=prompt[0][0].device)
    length = len(ids)
    layout = SharedPrompts([prompt], [2]) if share else None
    cache = empty_cache(prompt, 2, 2) if share else fork_cache([prompt], [2], 2)
    hidden = []
    for step in range(2):
        mask = None if share else tokens.new_ones(2, length + step + 1)
        positions = tokens.new_full((2, 1), length + step)
        hidden.append(go_on(model, cache, tokens[:, step : step + 1], mask, positions, layout))
    return torch.cat(hidden, 1)
