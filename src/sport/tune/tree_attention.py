"""Attention over trees: every node sees its ancestors and itself, and nothing else.

On CPUs no dense mask is made. The run of nodes at the start of a tree (its spine) is served by
plain causal attention. Whatever branches off it lies in ranges behind it: such a range sees a piece
of the spine, and itself through a small mask. On GPUs FlexAttention takes the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sport.tune.tree import Tree

NEAR = 128
"""Branches that leave the spine so near to each other, in tokens, share one computation."""


@dataclass(frozen=True)
class Block:
    """A range of nodes, and what all of them may see besides each other.

    Attributes:
        start: First node of the range.
        stop: One past its last node.
        first: First node of the tree's spine.
        last: One past the last spine node that any node of the range sees.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def is_spine(self) -> bool:
        """Whether it is a spine itself."""
        return self.start == self.first


@dataclass(frozen=True, eq=False)
class Layout:
    """How the nodes of some trees, one behind the other, see each other.

    Attributes:
        ends: One past the last descendant of each node, ``(nodes,)``.
        blocks: All nodes, in order.
    """

    ends: Tensor
    blocks: tuple[Block, ...]
    _masks: dict[object, Any] = field(default_factory=dict)

    def mask(self, block: Block) -> Tensor:
        """What a block's nodes see: ``(nodes, spine piece + nodes)``, true or false."""
        spine = torch.arange(block.first, block.last, device=self.ends.device)
        own = torch.arange(block.start, block.stop, device=self.ends.device)
        keys, queries = torch.cat([spine, own]), own[:, None]
        return (keys <= queries) & (queries < self.ends[keys])

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """See :class:`sport.policy.layouts.AttentionLayout`."""
        compute = _flex if query.is_cuda else _structured
        return compute(query, key, value, self, scaling)

    def flex_mask(self) -> Any:
        """The same rule as a mask of FlexAttention."""
        if "flex" not in self._masks:
            from torch.nn.attention.flex_attention import create_block_mask

            ends, size = self.ends, len(self.ends)

            def rule(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                return (key <= query) & (query < ends[key])

            self._masks["flex"] = create_block_mask(rule, None, None, size, size, ends.device)
        return self._masks["flex"]


def layout_of(trees: Sequence[Tree], device: torch.device | str = "cpu") -> Layout:
    """The layout of trees that lie one behind the other."""
    ends, blocks, offset = [], [], 0
    for tree in trees:
        ends.append(tree.ends + offset)
        blocks += [
            Block(b.start + offset, b.stop + offset, b.first + offset, b.last + offset)
            for b in _blocks(tree)
        ]
        offset += len(tree)
    return Layout(torch.cat(ends).to(device), tuple(blocks))


def _blocks(tree: Tree) -> Iterator[Block]:
    parents, ends = tree.parents.tolist(), tree.ends.tolist()
    spine = next((i for i, parent in enumerate(parents) if parent != i - 1), len(tree))
    yield Block(0, spine, 0, spine)
    start = stop = spine
    last = 0
    # Behind the spine come its branches, the deepest first.
    while stop < len(tree):
        leaves = parents[stop] + 1
        if stop > start and last - leaves > NEAR:
            yield Block(start, stop, 0, last)
            start = stop
        last = leaves if start == stop else last
        stop = ends[stop]
    if stop > start:
        yield Block(start, stop, 0, last)


def _structured(
    query: Tensor, key: Tensor, value: Tensor, tree: Layout, scaling: float | None
) -> Tensor:
    """Attention block by block: ``(1, heads, nodes, width)`` each, keys and values of fewer heads.

    Branches are computed again in the backward pass: they are a small part of the work, and their
    masks and copies of the spine's keys and values would be a large part of the memory.
    """
    groups = query.shape[1] // key.shape[1]
    outputs = []
    for block in tree.blocks:
        if block.is_spine:
            piece = slice(block.start, block.stop)
            output = F.scaled_dot_product_attention(
                query[:, :, piece],
                _repeat(key[:, :, piece], groups),
                _repeat(value[:, :, piece], groups),
                is_causal=True,
                scale=scaling,
            )
        else:
            output = checkpoint(
                _branches, query, key, value, tree, block, scaling, use_reentrant=False
            )
        outputs.append(output)
    return torch.cat(outputs, 2)


def _branches(
    query: Tensor, key: Tensor, value: Tensor, tree: Layout, block: Block, scaling: float | None
) -> Tensor:
    groups = query.shape[1] // key.shape[1]

    def seen(tensor: Tensor) -> Tensor:
        spine = tensor[:, :, block.first : block.last]
        return _repeat(torch.cat([spine, tensor[:, :, block.start : block.stop]], 2), groups)

    return F.scaled_dot_product_attention(
        query[:, :, block.start : block.stop],
        seen(key),
        seen(value),
        attn_mask=tree.mask(block),
        scale=scaling,
    )


def _repeat(tensor: Tensor, groups: int) -> Tensor:
    """Each head of keys or values, once for each query head that reads it."""
    return tensor if groups == 1 else tensor.repeat_interleave(groups, 1)


def _flex(query: Tensor, key: Tensor, value: Tensor, tree: Layout, scaling: float | None) -> Tensor:
    attend = _compiled_flex() if query.is_cuda else _eager_flex()
    groups = query.shape[1] != key.shape[1]
    found: Tensor = attend(
        query, key, value, block_mask=tree.flex_mask(), scale=scaling, enable_gqa=groups
    )
    return found


@lru_cache
def _compiled_flex() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


def _eager_flex() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention
