"""The layers of a model, shared out among the processes that tune it (FSDP2).

What is frozen is sharded, and gathered layer by layer while it is needed. The adapter is small:
every process holds it whole, so that optimizer, checkpoints and files are those of one process.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from sport.policy.forward import base_model
from sport.tune.workers import Workers


@contextmanager
def sharded(model: PeftModel, workers: Workers) -> Iterator[None]:
    """Within the block each process holds its part of the decoder's layers, if they are to shard.

    Afterwards the model is whole again. Embeddings, head, vision tower and quantized weights are
    never sharded.
    """
    if not workers.shards:
        yield
        return
    from torch.distributed.device_mesh import init_device_mesh

    base = base_model(model)
    layers = base.get_decoder().layers
    whole = list(layers)
    mesh = init_device_mesh(base.device.type, (workers.count,))
    for place, layer in enumerate(whole):
        layers[place] = _shard(layer, mesh)
    try:
        yield
    finally:
        for place, layer in enumerate(whole):
            _gather(layers[place], layer)
            layers[place] = layer


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, of which this process may hold a part; all processes must ask."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def _shard(layer: nn.Module, mesh: Any) -> nn.Module:
    """A sharded stand-in for a layer, whose own frozen weights are let go."""
    from torch.distributed.fsdp import fully_shard

    kept = {p for p in layer.parameters() if p.requires_grad or not p.is_floating_point()}
    # Sharding changes a module for good: a copy is changed, with the same parameters and settings.
    settings = [m.config for m in layer.modules() if hasattr(m, "config")]
    shared: dict[int, Any] = {id(x): x for x in (*layer.parameters(), *layer.buffers(), *settings)}
    stand_in = copy.deepcopy(layer, shared)
    # Each layer is a root of its own, which would keep what it gathered.
    fully_shard(stand_in, mesh=mesh, reshard_after_forward=True, ignored_params=kept)
    for parameter in layer.parameters():
        if parameter not in kept:
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
    return stand_in


def _gather(stand_in: nn.Module, layer: nn.Module) -> None:
    """Gives a layer its weights back."""
    parts = dict(stand_in.named_parameters())
    for name, parameter in layer.named_parameters():
        if parts[name] is not parameter:
            parameter.data = whole(parts[name]).detach()
