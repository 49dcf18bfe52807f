"""A trajectory's candidates as one tree of tokens.

The history of step i + 1 contains that of step i, and the candidates of a step share their history:
all of them together are a trie. A node stands for a token after all of its ancestors, so a model
whose tokens see their ancestors only, at positions by depth, computes in one forward what it would
for every candidate behind its own copy of the history.

Nodes lie in depth-first pre-order, and of a node's children the one with the most descendants comes
first. Two things follow. A node sees another one exactly if ``other <= node < end[other]``. And the
longest run of a trajectory, its history, lies in one piece at the start, where plain causal
attention serves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sport.policy.encode import Encoded


@dataclass(frozen=True, eq=False)
class Tree:
    """A trie of tokens in depth-first pre-order.

    Attributes:
        chat: The chat that most nodes come from; it holds all images.
        ids: Token of each node, ``(nodes,)``.
        parents: Parent of each node; -1 for the root.
        ends: One past the last descendant of each node.
        depths: Number of ancestors of each node.
        origins: Place of each node in the chat; -1 for nodes beside it.
        paths: The target nodes of each candidate, in order.
    """

    chat: Encoded
    ids: Tensor
    parents: Tensor
    ends: Tensor
    depths: Tensor
    origins: Tensor
    paths: tuple[Tensor, ...]

    def __len__(self) -> int:
        """Number of nodes: of tokens that a forward sees."""
        return len(self.ids)


def build_tree(chat: Encoded, actions: Sequence[tuple[int, Sequence[int]]]) -> Tree:
    """Hangs actions into a chat.

    Args:
        chat: The longest history.
        actions: For each candidate the length of its history, which is a prefix of the chat, and
            the action's token ids. What an action shares with the chat or with other actions is
            there once.
    """
    tokens, parents = list(chat.ids), list(range(-1, len(chat.ids) - 1))
    children = {(node - 1, token): node for node, token in enumerate(tokens)}
    paths = []
    for start, ids in actions:
        node, path = start - 1, []
        for token in ids:
            child = children.setdefault((node, token), len(tokens))
            if child == len(tokens):
                tokens.append(token)
                parents.append(node)
            node = child
            path.append(node)
        paths.append(path)
    return _in_preorder(chat, tokens, parents, paths)


def _in_preorder(
    chat: Encoded, tokens: list[int], parents: list[int], paths: list[list[int]]
) -> Tree:
    order, sizes = _heavy_first(parents)
    place = torch.empty(len(order) + 1, dtype=torch.long)
    nodes = torch.tensor(order)
    place[nodes] = torch.arange(len(order))
    place[-1] = -1  # the root's parent
    depths = [0] * len(parents)
    for node, parent in enumerate(parents[1:], start=1):
        depths[node] = depths[parent] + 1
    return Tree(
        chat=chat,
        ids=torch.tensor(tokens)[nodes],
        parents=place[torch.tensor(parents)[nodes]],
        ends=torch.arange(len(order)) + torch.tensor(sizes)[nodes],
        depths=torch.tensor(depths)[nodes],
        origins=nodes.where(nodes < len(chat.ids), -1),
        paths=tuple(place[torch.tensor(path, dtype=torch.long)] for path in paths),
    )


def _heavy_first(parents: list[int]) -> tuple[list[int], list[int]]:
    """The nodes in pre-order, the largest subtree of each node first; and the subtrees' sizes."""
    sizes = [1] * len(parents)
    children: list[list[int]] = [[] for _ in parents]
    for node in range(len(parents) - 1, 0, -1):
        sizes[parents[node]] += sizes[node]
        children[parents[node]].append(node)
    order, pending = [], [0]
    while pending:
        node = pending.pop()
        order.append(node)
        pending += sorted(children[node], key=lambda child: sizes[child])
    return order, sizes
