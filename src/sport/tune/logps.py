"""Log-probabilities of actions, by one forward over whole sequences.

This is the plain way: every action stands behind its own copy of the history. Only the tokens of
actions are targets; prompts, images and observations are context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sport.policy.encode import Encoded
from sport.policy.forward import base_model, collate, hidden_states, logits_of, pad_id

PAD_MULTIPLE = 32
"""Lengths are rounded up to this: equal shapes are reused by allocators and kernels."""

_ENOUGH, _SIMILAR = 1024, 0.8
"""A forward of so many tokens is worth its overhead; rows below this share of its width are not
added to it, since padding would be computed in vain."""


@dataclass(frozen=True)
class Row:
    """A sequence with its targets.

    Attributes:
        chat: History and action as a model takes them.
        spans: Where the targets lie: (start, end) into the ids.
    """

    chat: Encoded
    spans: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Number of tokens, images expanded."""
        return len(self.chat.ids)

    @property
    def targets(self) -> int:
        """Number of target tokens."""
        return sum(end - start for start, end in self.spans)


def action_row(history: Encoded, ids: Sequence[int]) -> Row:
    """A history with one action as target."""
    start = len(history.ids)
    return Row(history.plus(ids), ((start, start + len(ids)),))


def sequence_logps(model: nn.Module, processor: Any, rows: Sequence[Row]) -> Tensor:
    """Sums of the targets' log-probabilities, in nats: ``(rows,)``, at least float32.

    Gradients flow where the caller has them enabled.
    """
    device = base_model(model).device
    batch = collate([r.chat for r in rows], pad_id(processor), device, PAD_MULTIPLE)
    hidden = hidden_states(model, batch.inputs, use_cache=False).last_hidden_state
    where = [
        (i, at)
        for i, row in enumerate(rows)
        for start, end in row.spans
        for at in range(start, end)
    ]
    row, at = torch.tensor(where, device=device).T
    # The state before a token predicts it; the head runs over these states alone.
    logits = logits_of(model, hidden[row, at - 1])
    targets = batch.inputs["input_ids"][row, at]
    logps = logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)
    return logps.new_zeros(len(rows)).index_add(0, row, logps)


def group_by_length(lengths: Sequence[int], rows: Sequence[int], budget: int) -> list[list[int]]:
    """Groups items of similar length so that no forward exceeds a budget of padded tokens.

    An item that exceeds the budget is a group of its own: nothing is ever truncated.

    Args:
        lengths: Number of tokens of each item's longest row.
        rows: Number of rows of each item.
        budget: Tokens of one forward, padding included.

    Returns:
        Groups of indices, the longest items first.
    """
    groups: list[list[int]] = []
    filled = width = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # From the longest down, a group's first item decides its width.
        wasteful = filled * width >= _ENOUGH and padded(lengths[index]) < _SIMILAR * width
        if groups and not wasteful and (filled + rows[index]) * width <= budget:
            groups[-1].append(index)
            filled += rows[index]
        else:
            groups.append([index])
            filled, width = rows[index], padded(lengths[index])
    return groups


def padded(length: int) -> int:
    """A length, rounded up as batches are."""
    return -(-length // PAD_MULTIPLE) * PAD_MULTIPLE
