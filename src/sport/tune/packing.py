"""The ways to compute the log-probabilities of a trajectory's candidates, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from sport.tune.config import PairConfig
from sport.tune.pairs import build_pairs
from sport.tune.pairwise import PairwisePacking
from sport.tune.step_dpo import Packing, pair_logps
from sport.tune.tree_packing import TreePacking
from sport.types import Trajectory


def make_packing(kind: str, token_budget: int) -> Packing:
    """The packing of a name: ``tree`` or ``pairwise``.

    Raises:
        ValueError: There is none of that name.
    """
    if kind == "tree":
        return TreePacking(token_budget)
    if kind == "pairwise":
        return PairwisePacking(token_budget)
    raise ValueError(f"unknown packing {kind!r}: use 'tree' or 'pairwise'")


def preference_logps(
    model: nn.Module,
    processor: Any,
    trajectories: Sequence[Trajectory],
    packing: str = "pairwise",
    pairs: PairConfig | None = None,
    token_budget: int = 16_384,
) -> Tensor:
    """Summed log-probabilities of every pair's chosen and rejected action.

    Args:
        model: A transformers model, or a PEFT model around one.
        processor: Its processor.
        trajectories: What the pairs are built from, by :func:`sport.tune.pairs.build_pairs`.
        packing: ``tree`` (a trajectory is forwarded once) or ``pairwise`` (whole sequences).
        pairs: Which pairs are built.
        token_budget: Tokens of one forward.

    Returns:
        ``(pairs, 2)``, in nats, in the order of the pairs; gradients flow where the caller has
        them enabled.

    Raises:
        ValueError: There is no such packing.
        LayoutUnsupported: The model cannot compute trees.
    """
    built, _ = build_pairs(trajectories, pairs)
    how = make_packing(packing, token_budget)
    return pair_logps(how, model, processor, trajectories, built)
