"""Log-probabilities of a tree's candidates by one forward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sport.policy.encode import join_vision
from sport.policy.forward import base_model, hidden_states
from sport.tune.logps import picked_logps
from sport.tune.tree import Tree
from sport.tune.tree_attention import layout_of


def tree_logps(model: nn.Module, trees: Sequence[Tree]) -> list[Tensor]:
    """Sums of the log-probabilities of each tree's candidates, ``(candidates,)`` each, in nats.

    The trees lie one behind the other in a single row, so nothing is padded. Call
    :func:`sport.policy.layouts.allow_layouts` first. Gradients flow where they are enabled.
    """
    device = base_model(model).device
    inputs = tree_inputs(model, trees, device)
    layout = layout_of(trees, device)
    # A mask of four dimensions keeps the model from making one of its own.
    mask = layout.ends.view(1, 1, 1, -1)
    hidden = hidden_states(model, inputs, attention_mask=mask, layout=layout, use_cache=False)
    nodes, owners, parents = (t.to(device) for t in _targets(trees))
    # Where candidates part, one node predicts several first tokens: the head runs over it once.
    rows, row = parents.unique(return_inverse=True)
    tokens = inputs["input_ids"][0, nodes]
    logps = picked_logps(model, hidden.last_hidden_state[0, rows], row, tokens)
    counts = [len(tree.paths) for tree in trees]
    return list(logps.new_zeros(sum(counts)).index_add(0, owners, logps).split(counts))


def tree_inputs(
    model: nn.Module, trees: Sequence[Tree], device: torch.device | str
) -> dict[str, Tensor]:
    """What a model's forward takes of trees that lie one behind the other, but for the mask.

    Raises:
        ValueError: An image would not reach the forward pass.
    """
    inputs = {
        "input_ids": torch.cat([tree.ids for tree in trees])[None],
        "position_ids": torch.cat([tree_positions(model, tree) for tree in trees], -1)[:, None],
    }
    if len(inputs["position_ids"]) == 1:
        inputs["position_ids"] = inputs["position_ids"][0]
    for name in {name for tree in trees for name in tree.chat.aligned}:
        inputs[name] = torch.cat([_aligned(tree, name) for tree in trees])[None]
    inputs |= join_vision([tree.chat.vision for tree in trees])
    _assert_images(trees)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def tree_positions(model: nn.Module, tree: Tree) -> Tensor:
    """Positions of a tree's nodes, ``(axes, nodes)``: one axis, or three with multimodal RoPE.

    A chat's own positions come from the model; a node beside it follows its parent, as text does.
    """
    core, chat = base_model(model).base_model, tree.chat
    if not hasattr(core, "get_rope_index"):
        return tree.depths[None]
    if not chat.vision:
        return tree.depths.expand(3, -1)
    ids = torch.tensor([chat.ids])
    kinds = torch.tensor([chat.aligned["mm_token_type_ids"]])
    grid = chat.vision["image_grid_thw"]
    found, _ = core.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grid)
    positions: Tensor = found[:, 0, tree.origins.clamp(min=0)]
    parents = tree.parents.tolist()
    for node in (tree.origins < 0).nonzero().flatten().tolist():
        positions[:, node] = positions[:, parents[node]].max() + 1
    return positions


def _aligned(tree: Tree, name: str) -> Tensor:
    values = torch.tensor(tree.chat.aligned.get(name, [0] * len(tree.chat.ids)))
    return values[tree.origins.clamp(min=0)].where(tree.origins >= 0, 0)


def _targets(trees: Sequence[Tree]) -> tuple[Tensor, Tensor, Tensor]:
    """Each candidate's target nodes, whose they are, and the nodes that predict them."""
    nodes, owners, parents = [], [], []
    offset = owner = 0
    for tree in trees:
        for path in tree.paths:
            nodes.append(path + offset)
            parents.append(tree.parents[path] + offset)
            owners.append(torch.full_like(path, owner))
            owner += 1
        offset += len(tree)
    return torch.cat(nodes), torch.cat(owners), torch.cat(parents)


def _assert_images(trees: Sequence[Tree]) -> None:
    """Raises unless a tree holds each token of its chat once, those of images included (D9)."""
    for tree in trees:
        chat = tree.origins[tree.origins >= 0]
        if not torch.equal(chat.sort().values, torch.arange(len(tree.chat.ids))):
            raise ValueError("a tree lacks tokens of its chat: images would be lost")
