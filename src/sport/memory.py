"""How much memory tuning and serving a model take, by arithmetic over its shape.

Weights and optimizer state are counted exactly, on a model without memory; what a forward keeps is
34 bytes a token, layer and unit of width in two-byte types (Korthikanti et al. 2022, section 4.1,
without attention matrices, which fused attention does not keep), and its input alone where layers
are computed again. None of it is measured: leave a tenth of the memory free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sport.config import Recipe

_KEPT = 34
_ADAPTER_BYTES = 16
"""A float32 weight of an adapter, with its gradient and AdamW's two moments."""
_BYTES = {"float32": 4.0, "bfloat16": 2.0}
_NF4 = 0.55
"""Bytes of a weight in NF4, its constants included."""


@dataclass(frozen=True)
class Footprint:
    """Bytes.

    Attributes:
        parameters: Number of weights; the only figure that is no number of bytes.
        weights: The frozen weights.
        adapter: The adapter, its gradients and its optimizer's state.
        activations: What the largest forward keeps for the backward pass.
        cache: Keys and values of one token.
    """

    parameters: int
    weights: float
    adapter: float
    activations: float
    cache: float

    @property
    def tuning(self) -> float:
        """All that tuning needs at once."""
        return self.weights + self.adapter + self.activations


def footprint(recipe: Recipe, config: Any) -> Footprint:
    """The footprint of a recipe's policy.

    Args:
        recipe: Its types, adapter and tuning.
        config: The model's transformers config.
    """
    import torch
    from accelerate.big_modeling import init_empty_weights
    from torch import nn
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    known = type(config) in AutoModelForImageTextToText._model_mapping
    kind: Any = AutoModelForImageTextToText if known else AutoModelForCausalLM
    with init_empty_weights():
        model = kind.from_config(config, dtype=torch.float32)
    parameters = sum(p.numel() for p in model.parameters())
    text, policy, stage = config.get_text_config(), recipe.policy, recipe.tune[-1]
    rank = max(s.lora.r for s in recipe.tune)
    adapted = sum(
        rank * (layer.in_features + layer.out_features)
        for layer in model.get_decoder().modules()
        if isinstance(layer, nn.Linear)
    )
    size = 2.0 if policy.dtype == "bfloat16" or stage.bf16 else 4.0
    width, depth = text.hidden_size, text.num_hidden_layers
    budget = max(s.token_budget for s in recipe.tune)
    layers = _KEPT if not stage.gradient_checkpointing else 2 + _KEPT / depth
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head = getattr(text, "head_dim", None) or width // text.num_attention_heads
    weight = _NF4 if policy.quantize == "4bit" else _BYTES[policy.dtype]
    return Footprint(
        parameters=parameters,
        weights=parameters * weight,
        adapter=adapted * _ADAPTER_BYTES,
        activations=budget * width * depth * layers * size / 2,
        cache=2 * depth * heads * head * _BYTES[policy.dtype],
    )
