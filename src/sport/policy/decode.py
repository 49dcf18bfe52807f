"""Sampling many candidates of many chats at once.

Each prompt runs once, its images included, and of a chat that was read before only what was added.
Its cache is forked to its candidates, and the candidates of all prompts take one token together at
each pass. Rows that have ended are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from sport.policy.cache import empty_cache, fork_cache, keep_rows
from sport.policy.encode import Encoded, special_ids
from sport.policy.forward import base_model, logits_of, pad_id
from sport.policy.history import Histories, History
from sport.policy.read import go_on, mask_of, read_chats
from sport.policy.sampling import RowSampler
from sport.policy.shared import SharedPrompts
from sport.types import END_OF_ACTION

_KEEP = 0.75
"""Ended rows are dropped once fewer than this share of rows is alive: dropping copies the cache."""


@dataclass
class Row:
    """One candidate: what it is to be sampled with, and what came of it."""

    seed: int
    temperature: float
    top_p: float
    limit: int
    tokens: list[int] = field(default_factory=list)
    logp: float = 0.0
    finish: Literal["stop", "length"] = "length"


class Stops:
    """Knows when an action has ended, and which tokens it may not contain."""

    def __init__(self, model: nn.Module, processor: Any) -> None:
        base = base_model(model)
        self.tokenizer = processor.tokenizer
        eos = base.generation_config.eos_token_id
        listed = eos if isinstance(eos, list) else [eos]
        self.eos = {i for i in (*listed, self.tokenizer.eos_token_id) if i is not None}
        size = base.get_output_embeddings().weight.shape[0]
        known = len(self.tokenizer)
        # An image token or another turn inside an action would corrupt the history.
        self.suppress = sorted({*special_ids(processor), *range(known, size)} - self.eos)
        pieces = self.tokenizer.convert_ids_to_tokens(range(min(known, size)))
        last = END_OF_ACTION[-1]
        self._may_end = {i for i, piece in enumerate(pieces) if piece and last in piece}

    def ended(self, row: Row) -> bool:
        """Whether the row's last token ends it."""
        token = row.tokens[-1]
        if token in self.eos:
            return True
        return token in self._may_end and END_OF_ACTION in self._decode(row.tokens[-16:])

    def text(self, row: Row) -> str:
        """The action's text, up to its end marker."""
        text = self._decode([t for t in row.tokens if t not in self.eos])
        before, marker, _ = text.partition(END_OF_ACTION)
        return before + marker

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


@torch.inference_mode()
def decode(
    model: nn.Module,
    processor: Any,
    stops: Stops,
    chats: Sequence[Encoded],
    rows: Sequence[Sequence[Row]],
    histories: Histories,
    share: bool = False,
) -> None:
    """Samples ``rows[i]`` after ``chats[i]``, in place.

    Args:
        model: The model.
        processor: Its processor.
        stops: When an action ends.
        chats: What is said before.
        rows: The candidates of every chat.
        histories: What was read before; what is read now is kept there.
        share: Whether the candidates of a chat share its prompt: see :mod:`sport.policy.shared`.
    """
    device = base_model(model).device
    logits, read = read_chats(model, chats, pad_id(processor), histories)
    repeats = [len(r) for r in rows]
    flat = [row for group in rows for row in group]
    steps = max(row.limit for row in flat)
    times = torch.tensor(repeats, device=device)
    state = (_Sharing if share else _Copies)(model, read, repeats, steps)
    sampler = RowSampler(
        [r.seed for r in flat],
        [r.temperature for r in flat],
        [r.top_p for r in flat],
        steps,
        torch.tensor(stops.suppress, device=device, dtype=torch.long),
    )
    _loop(flat, logits.repeat_interleave(times, dim=0), state, sampler, stops)


def _loop(
    flat: list[Row], logits: Tensor, state: _State, sampler: RowSampler, stops: Stops
) -> None:
    alive = list(range(len(flat)))
    done: set[int] = set()
    for step in range(max(row.limit for row in flat)):
        tokens, logps = sampler.pick(logits, torch.tensor(alive, device=logits.device), step)
        for index, token, logp in zip(alive, tokens.tolist(), logps.tolist(), strict=True):
            row = flat[index]
            if index in done:
                continue
            row.tokens.append(token)
            row.logp += logp
            if stops.ended(row):
                row.finish = "stop"
                done.add(index)
            elif len(row.tokens) >= row.limit:
                done.add(index)
        live = [k for k, index in enumerate(alive) if index not in done]
        if not live:
            return
        if len(live) < _KEEP * len(alive):
            keep = torch.tensor(live, device=logits.device)
            state.keep(keep)
            tokens, alive = tokens[keep], [alive[k] for k in live]
        logits = state.step(tokens)


class _State(Protocol):
    """What was read and written of the rows that are alive."""

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """The logits after one more token a row."""
        ...


class _Copies:
    """Every row has a copy of its prompt."""

    def __init__(
        self, model: nn.Module, read: Sequence[History], repeats: Sequence[int], steps: int
    ) -> None:
        self.model, self.positions = model, _ends(read, repeats)
        self.cache = fork_cache([h.layers for h in read], repeats, steps)
        lengths = torch.tensor([len(h.chat.ids) for h in read], device=self.positions.device)
        mask = mask_of(lengths).repeat_interleave(lengths.new_tensor(repeats), dim=0)
        self.mask = torch.cat([mask, mask.new_ones(len(mask), steps)], dim=1)

    def keep(self, rows: Tensor) -> None:
        keep_rows(self.cache, rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]

    def step(self, tokens: Tensor) -> Tensor:
        used = self.cache.get_seq_length() + 1
        mask = self.mask[:, :used]
        hidden = go_on(self.model, self.cache, tokens[:, None], mask, self.positions[:, None])
        self.positions = self.positions + 1
        return logits_of(self.model, hidden[:, -1])


class _Sharing:
    """A prompt is there once for all of its rows."""

    def __init__(
        self, model: nn.Module, read: Sequence[History], repeats: Sequence[int], steps: int
    ) -> None:
        self.model, self.positions = model, _ends(read, repeats)
        prompts = [h.layers for h in read]
        self.cache = empty_cache(prompts[0], sum(repeats), steps)
        self.prompts = SharedPrompts(prompts, repeats)

    def keep(self, rows: Tensor) -> None:
        keep_rows(self.cache, rows)
        self.prompts.keep(rows)
        self.positions = self.positions[rows]

    def step(self, tokens: Tensor) -> Tensor:
        places = self.positions[:, None]
        hidden = go_on(self.model, self.cache, tokens[:, None], None, places, self.prompts)
        self.positions = self.positions + 1
        return logits_of(self.model, hidden[:, -1])


def _ends(read: Sequence[History], repeats: Sequence[int]) -> Tensor:
    """The position of every row's first token."""
    ends = [len(h.chat.ids) + h.shift for h in read]
    device = read[0].layers[0][0].device
    return torch.tensor(ends, device=device).repeat_interleave(torch.tensor(repeats, device=device))
