"""A key-value cache of fixed capacity whose rows fork from prompts and can be dropped.

``DynamicCache`` copies all it holds at every token. Here a prompt's keys and values are copied
once for each of its candidates, and a token then only writes its own place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from sport.policy.history import Layers


class _RowLayer(DynamicLayer):
    """Keys and values of one layer: ``(rows, heads, capacity, width)``, ``used`` of them filled."""

    def __init__(self, keys: Tensor, values: Tensor, used: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used = used
        self.keys: Any = keys
        self.values: Any = values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start, self.used = self.used, self.used + key_states.shape[2]
        self.keys[:, :, start : self.used] = key_states
        self.values[:, :, start : self.used] = value_states
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def get_seq_length(self) -> int:
        return self.used

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these."""
        self.keys = _select(self.keys, rows, self.used)
        self.values = _select(self.values, rows, self.used)


def rows_of(cache: Cache, mask: Tensor) -> list[Layers]:
    """What a cache holds of every row: keys and values of the tokens that ``mask`` lets through.

    Args:
        cache: Of a model that has read some rows.
        mask: ``(rows, tokens)``; 0 where a row is filled up.

    Raises:
        TypeError: A layer of the model keeps something else than keys and values of all tokens.
    """
    layers: list[Any] = cache.layers
    for layer in layers:
        if type(layer) not in (DynamicLayer, _RowLayer):
            raise TypeError(
                f"the model has a layer with a {type(layer).__name__}, which LocalPolicy cannot "
                "fork (sliding windows, recurrent layers): serve the model and use ChatPolicy"
            )
    real = [row.nonzero().squeeze(-1) for row in mask]
    return [
        [(x.keys[i].index_select(1, at), x.values[i].index_select(1, at)) for x in layers]
        for i, at in enumerate(real)
    ]


def fork_cache(prompts: Sequence[Layers], repeats: Sequence[int], extra: int) -> Cache:
    """The cache of ``repeats[i]`` candidates of every prompt ``i``, with room for ``extra`` tokens.

    Prompts are filled up on the right to the longest; a mask has to leave that out.
    """
    used = max(prompt[0][0].shape[1] for prompt in prompts)

    def forked(layer: int, part: int) -> Tensor:
        heads, _, width = prompts[0][layer][part].shape
        whole = prompts[0][layer][part].new_zeros(sum(repeats), heads, used + extra, width)
        row = 0
        for prompt, times in zip(prompts, repeats, strict=True):
            tensor = prompt[layer][part]
            whole[row : row + times, :, : tensor.shape[1]] = tensor
            row += times
        return whole

    layers = range(len(prompts[0]))
    return Cache(layers=[_RowLayer(forked(i, 0), forked(i, 1), used) for i in layers])


def empty_cache(like: Layers, rows: int, room: int) -> Cache:
    """A cache of rows that have nothing yet, with room for so many tokens each.

    Args:
        like: Layers of any chat, for their shapes.
        rows: Number of rows.
        room: Tokens.
    """

    def empty(tensor: Tensor) -> Tensor:
        heads, _, width = tensor.shape
        return tensor.new_zeros(rows, heads, room, width)

    return Cache(layers=[_RowLayer(empty(keys), empty(values), 0) for keys, values in like])


def keep_rows(cache: Cache, rows: Tensor) -> None:
    """Drops all rows of a forked cache but these."""
    layers: list[Any] = cache.layers
    for layer in layers:
        layer.keep(rows)


def _select(tensor: Tensor, rows: Tensor, used: int) -> Tensor:
    kept = tensor.new_empty(len(rows), *tensor.shape[1:])
    torch.index_select(tensor[:, :, :used], 0, rows, out=kept[:, :, :used])
    return kept
