"""Reading prompts into a cache: whole ones, and what was added to those that were read before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache

from sport.policy.cache import fork_cache, rows_of
from sport.policy.encode import Encoded
from sport.policy.forward import base_model, collate, hidden_states, logits_of
from sport.policy.history import Histories, History
from sport.policy.layouts import AttentionLayout


def read_chats(
    model: nn.Module, chats: Sequence[Encoded], pad: int, histories: Histories
) -> tuple[Tensor, list[History]]:
    """Reads chats, each from where its history was read to.

    Args:
        model: The model.
        chats: What is to be read.
        pad: Token that fills rows up.
        histories: What was read before; what is read now is kept there.

    Returns:
        The logits after each chat, ``(chats, vocabulary)``, and the chats as they were read.
    """
    known = [histories.take(chat) for chat in chats]
    fresh = [i for i, before in enumerate(known) if before is None]
    grown = [(i, before) for i, before in enumerate(known) if before is not None]
    logits: dict[int, Tensor] = {}
    read: dict[int, History] = {}
    if fresh:
        own, new = _read_whole(model, [chats[i] for i in fresh], pad)
        logits.update(zip(fresh, own, strict=True))
        read.update(zip(fresh, new, strict=True))
    if grown:
        places, before = [i for i, _ in grown], [h for _, h in grown]
        own, new = _read_on(model, [chats[i] for i in places], before, pad)
        logits.update(zip(places, own, strict=True))
        read.update(zip(places, new, strict=True))
    ordered = [read[i] for i in range(len(chats))]
    histories.keep(ordered)
    return torch.stack([logits[i] for i in range(len(chats))]), ordered


def mask_of(lengths: Tensor) -> Tensor:
    """``(rows, longest)``: 1 for a token, 0 where a row is filled up on the right."""
    places = torch.arange(int(lengths.max()), device=lengths.device)
    return (places[None, :] < lengths[:, None]).long()


def go_on(
    model: nn.Module,
    cache: Cache,
    tokens: Tensor,
    mask: Tensor | None,
    positions: Tensor,
    layout: AttentionLayout | None = None,
) -> Tensor:
    """The hidden states of further tokens of cached rows.

    Args:
        model: The model.
        cache: What was read of the rows; the tokens are added.
        tokens: ``(rows, new)``.
        mask: ``(rows, cached + new)``; 0 where a row is filled up. ``None`` with a layout.
        positions: ``(rows, new)``.
        layout: Who sees whom, where it is not each row what is cached of it.
    """
    seen = {"layout": layout} if mask is None else {"attention_mask": mask}
    output = hidden_states(
        model,
        {"input_ids": tokens},
        **seen,
        position_ids=positions.expand(3, -1, -1) if _has_three_axes(model) else positions,
        past_key_values=cache,
        use_cache=True,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


def _read_whole(
    model: nn.Module, chats: Sequence[Encoded], pad: int
) -> tuple[Tensor, list[History]]:
    """Reads chats from their beginning, images included; the model knows their positions."""
    base = base_model(model)
    batch = collate(chats, pad, base.device)
    cache = DynamicCache(config=base.config.get_text_config())
    output = hidden_states(model, batch.inputs, past_key_values=cache, use_cache=True)
    rows = torch.arange(len(chats), device=base.device)
    last = output.last_hidden_state[rows, batch.lengths - 1]
    shifts = _shifts_of_images(model, chats)
    layers = rows_of(cache, batch.inputs["attention_mask"])
    read = map(History, chats, layers, shifts)
    return logits_of(model, last), list(read)


def _shifts_of_images(model: nn.Module, chats: Sequence[Encoded]) -> list[int]:
    """How far the images of chats that were just read shift the positions of what follows.

    Raises:
        RuntimeError: The model has such positions, and this transformers keeps the shift elsewhere.
    """
    if not _has_three_axes(model) or not any(chat.images for chat in chats):
        return [0] * len(chats)
    # transformers keeps the shift of the last forward in the model, for its own `generate`.
    found = getattr(base_model(model).base_model, "rope_deltas", None)
    if found is None or found.numel() != len(chats):
        raise RuntimeError(
            f"{type(base_model(model)).__name__} does not say how far images shift positions: "
            "what it would sample after them is wrong. Use another version of transformers"
        )
    return [int(shift) for shift in found.reshape(-1).tolist()]


def _read_on(
    model: nn.Module, chats: Sequence[Encoded], before: Sequence[History], pad: int
) -> tuple[Tensor, list[History]]:
    """Reads what chats add, which is text alone, to what was read of them."""
    device = base_model(model).device
    starts = [len(h.chat.ids) for h in before]
    added = [Encoded(c.ids[s:]) for c, s in zip(chats, starts, strict=True)]
    batch = collate(added, pad, device)
    new = batch.inputs["input_ids"].shape[1]
    cache = fork_cache([h.layers for h in before], [1] * len(before), new)
    mask = torch.cat(
        [mask_of(torch.tensor(starts, device=device)), batch.inputs["attention_mask"]], dim=1
    )
    first = torch.tensor([s + h.shift for s, h in zip(starts, before, strict=True)], device=device)
    positions = first[:, None] + torch.arange(new, device=device)
    hidden = go_on(model, cache, batch.inputs["input_ids"], mask, positions)
    last = hidden[torch.arange(len(chats), device=device), batch.lengths - 1]
    layers = rows_of(cache, mask)
    shifts = [h.shift for h in before]
    return logits_of(model, last), list(map(History, chats, layers, shifts))


def _has_three_axes(model: nn.Module) -> bool:
    """Whether positions have a time, a height and a width (mrope)."""
    rope = getattr(base_model(model).config.get_text_config(), "rope_parameters", None) or {}
    return "mrope_section" in rope
