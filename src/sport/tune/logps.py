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


def split_by_budget(rows: Sequence[Row], budget: int) -> list[list[int]]:
    """Groups rows of similar length so that no forward exceeds a budget of padded tokens.

    A row that is longer than the budget is a group of its own: nothing is ever truncated.

    Returns:
        Groups of indices into ``rows``.
    """
    groups: list[list[int]] = []
    # From the longest down, a group's first row decides its width.
    for index in sorted(range(len(rows)), key=lambda i: -rows[i].length):
        group = groups[-1] if groups else []
        if group and (len(group) + 1) * padded(rows[group[0]].length) <= budget:
            group.append(index)
        else:
            groups.append([index])
    return groups


def padded(length: int) -> int:
    """A length, rounded up as batches are."""
    return -(-length // PAD_MULTIPLE) * PAD_MULTIPLE
