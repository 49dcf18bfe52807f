"""Attention of other shapes than a row that sees all before it, for any transformers model.

A model takes it as one more attention implementation, which hands whatever comes without a layout
on to the implementation that the model had before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from sport.policy.forward import base_model

_PREFIX = "layout-"
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


class LayoutUnsupported(RuntimeError):
    """The model's attention takes no layouts; says why."""


class AttentionLayout(Protocol):
    """Who sees whom."""

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """What one attention layer gives.

        Args:
            module: The layer; ``module.layer_idx`` tells which.
            query: ``(rows, heads, new, width)``.
            key: ``(rows, fewer heads, seen, width)``.
            value: As ``key``.
            scaling: Of the scores; by default the width to the power of -1/2.

        Returns:
            ``(rows, heads, new, width)``.
        """
        ...


def allow_layouts(model: nn.Module) -> None:
    """Lets the language model take a layout as ``layout=…``; all else it computes as before.

    It stays so: a backward pass with gradient checkpointing runs the model again.

    Raises:
        LayoutUnsupported: The model has an attention of its own.
    """
    config = base_model(model).get_decoder().config
    before = config._attn_implementation
    if not before.startswith(_PREFIX):
        config._attn_implementation = _implementation(before)


@lru_cache
def _implementation(plain: str) -> str:
    """Registers an implementation that serves layouts, and all else as ``plain`` does."""
    attentions, masks = AttentionInterface(), AttentionMaskInterface()
    if plain not in attentions.valid_keys() or plain not in masks.valid_keys():
        raise LayoutUnsupported(
            f"its attention implementation {plain!r} takes no other in its place"
        )
    name = f"{_PREFIX}{plain}"
    AttentionInterface.register(name, _attention_over(attentions[plain]))
    AttentionMaskInterface.register(name, masks[plain])
    return name


def _attention_over(plain: Callable[..., Any]) -> Callable[..., Any]:
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        layout: AttentionLayout | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if layout is None:
            found: tuple[Tensor, Tensor | None] = plain(
                module, query, key, value, attention_mask, scaling=scaling, **options
            )
            return found
        for name in _UNSUPPORTED:
            if options.get(name) is not None:
                raise LayoutUnsupported(f"its attention has {name.replace('_', ' ')}")
        output = layout.attend(module, query, key, value, scaling)
        return output.transpose(1, 2).contiguous(), None

    return attention
