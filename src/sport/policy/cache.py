"""A key-value cache of fixed capacity whose rows fork from prompts and can be dropped.

``DynamicCache`` copies all it holds at every token. Here a prompt's keys and values are copied
once for each of its candidates, and a token then only writes its own place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class _RowLayer(DynamicLayer):
    """Keys and values of one layer: ``(rows, heads, capacity, width)``, ``used`` of them filled."""

    def __init__(self, keys: Tensor, values: Tensor, repeats: Tensor, extra: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used = keys.shape[2]
        self.keys: Any = _fork(keys, repeats, extra)
        self.values: Any = _fork(values, repeats, extra)
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


def fork_cache(prompts: Cache, repeats: Tensor, extra: int) -> Cache:
    """The cache of ``repeats[i]`` candidates of every prompt ``i``, with room for ``extra`` tokens.

    Raises:
        TypeError: A layer of the model keeps something else than keys and values of all tokens.
    """
    layers: list[Any] = prompts.layers
    for layer in layers:
        if type(layer) is not DynamicLayer:
            raise TypeError(
                f"the model has a layer with a {type(layer).__name__}, which LocalPolicy cannot "
                "fork (sliding windows, recurrent layers): serve the model and use ChatPolicy"
            )
    return Cache(layers=[_RowLayer(x.keys, x.values, repeats, extra) for x in layers])


def keep_rows(cache: Cache, rows: Tensor) -> None:
    """Drops all rows of a forked cache but these."""
    layers: list[Any] = cache.layers
    for layer in layers:
        layer.keep(rows)


def _fork(tensor: Tensor, repeats: Tensor, extra: int) -> Tensor:
    _, heads, length, width = tensor.shape
    rows = int(repeats.sum())
    forked = tensor.new_empty(rows, heads, length + extra, width)
    forked[:, :, :length] = tensor.repeat_interleave(repeats, dim=0)
    return forked


def _select(tensor: Tensor, rows: Tensor, used: int) -> Tensor:
    kept = tensor.new_empty(len(rows), *tensor.shape[1:])
    torch.index_select(tensor[:, :, :used], 0, rows, out=kept[:, :, :used])
    return kept
