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
from torch.utils.checkpoint import checkpoint

from sport.policy.encode import Encoded
from sport.policy.forward import base_model, collate, hidden_states, logits_of, pad_id
from sport.tune.reference import content_digest

PAD_MULTIPLE = 32
"""Lengths are rounded up to this: equal shapes are reused by allocators and kernels."""

_ENOUGH, _SIMILAR = 1024, 0.8
"""A forward of so many tokens is worth its overhead; rows below this share of its width are not
added to it, since padding would be computed in vain."""

_LOGITS, _ROWS = 1 << 20, 256
"""Logits that are held at once: 4 megabytes in float32; but never fewer than so many rows, for
which a product of matrices is still efficient."""


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

    def digest(self) -> str:
        """Digest of all that the log-probabilities depend on, but for the model."""
        spans = torch.tensor(self.spans)
        return content_digest(torch.tensor(self.chat.ids), spans, self.chat.vision)


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
    targets = batch.inputs["input_ids"][row, at]
    logps = picked_logps(model, hidden[row, at - 1], torch.arange(len(at), device=device), targets)
    return logps.new_zeros(len(rows)).index_add(0, row, logps)


def picked_logps(model: nn.Module, hidden: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of tokens after hidden states, at least float32.

    Args:
        model: Its head is applied.
        hidden: States, ``(states, width)``.
        rows: After which of the states each token stands, ``(tokens,)``.
        tokens: Token ids, ``(tokens,)``.

    Returns:
        ``(tokens,)``, in nats. Where the logits of all states would be large, they are made in
        parts, and again in the backward pass.
    """
    vocabulary = base_model(model).get_output_embeddings().out_features
    size = max(_ROWS, _LOGITS // vocabulary)
    if len(hidden) <= size:
        return _picked(model, hidden, rows, tokens)
    parts = []
    found = []
    for start in range(0, len(hidden), size):
        of_part = ((rows >= start) & (rows < start + size)).nonzero().squeeze(-1)
        states, at = hidden[start : start + size], rows[of_part] - start
        parts.append(checkpoint(_picked, model, states, at, tokens[of_part], use_reentrant=False))
        found.append(of_part)
    logps: Tensor = torch.cat(parts)
    return logps.new_zeros(len(tokens)).index_copy(0, torch.cat(found), logps)


def _picked(model: nn.Module, hidden: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    logits = logits_of(model, hidden)
    return logits[rows, tokens] - logits.logsumexp(-1)[rows]


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
