"""Memory for time: what is not kept in the forward pass is computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sport.policy.forward import base_model
from sport.runtime import returning_freed_memory

TILE = 256
"""Tokens for which a layer's MLP holds its activations at once."""


@contextmanager
def recomputing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Where wanted, layers keep their inputs alone, and compute again in the backward pass.

    On CPUs the peak is then one layer's: its MLP is computed in tiles of tokens, as in ALST (arXiv
    2506.13996), and freed blocks are given back at once.
    """
    if not wanted:
        yield
        return
    base = base_model(model)
    base.gradient_checkpointing_enable({"use_reentrant": False})
    # Layers look at their own mode; what is inside of them stays in evaluation mode.
    layers = [m for m in base.modules() if getattr(m, "gradient_checkpointing", False)]
    for layer in layers:
        layer.training = True
    try:
        if base.device.type == "cpu":
            with _tiled(base.get_decoder()):
                yield
        else:
            yield
    finally:
        base.gradient_checkpointing_disable()
        model.eval()


@contextmanager
def _tiled(decoder: nn.Module) -> Iterator[None]:
    """Dense MLPs, which treat each token alone, in tiles; memory that is freed goes back."""
    mlps: list[Any] = [
        m.mlp for m in decoder.modules() if hasattr(getattr(m, "mlp", None), "down_proj")
    ]
    before = [mlp.__dict__.get("forward") for mlp in mlps]
    for mlp in mlps:
        mlp.forward = _by_tiles(mlp.forward)
    try:
        with returning_freed_memory():
            yield
    finally:
        for mlp, own in zip(mlps, before, strict=True):
            del mlp.forward
            if own is not None:  # such as a hook of Accelerate
                mlp.forward = own


def _by_tiles(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def tiled(hidden: Tensor) -> Tensor:
        """``(rows, length, width)``, in and out."""
        if hidden.shape[1] <= TILE:
            return forward(hidden)
        parts = hidden.split(TILE, 1)
        done: list[Tensor] = [checkpoint(forward, p, use_reentrant=False) for p in parts]
        return torch.cat(done, 1)

    return tiled
