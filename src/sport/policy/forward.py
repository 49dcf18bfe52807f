"""The few things that sampling and tuning need of a transformers model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sport.policy.encode import Encoded, join_vision


@dataclass(frozen=True)
class Batch:
    """Chats as one input, padded on the right.

    Attributes:
        inputs: Keyword arguments of a model's forward.
        lengths: Unpadded lengths, ``(rows,)``.
    """

    inputs: dict[str, Tensor]
    lengths: Tensor


def collate(
    rows: Sequence[Encoded], pad: int, device: torch.device | str, multiple: int = 1
) -> Batch:
    """Pads chats on the right to the longest, rounded up to a multiple.

    Padding on the right leaves every model's own positions right.
    """
    lengths = [len(r.ids) for r in rows]
    width = -(-max(lengths) // multiple) * multiple

    def padded(lists: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*x, *[fill] * (width - len(x))] for x in lists], device=device)

    inputs = {
        "input_ids": padded([r.ids for r in rows], pad),
        "attention_mask": padded([[1] * n for n in lengths], 0),
    }
    for name in {k for r in rows for k in r.aligned}:
        inputs[name] = padded([r.aligned.get(name, [0] * len(r.ids)) for r in rows], 0)
    vision = {k: v.to(device) for k, v in join_vision([r.vision for r in rows]).items()}
    return Batch({**inputs, **vision}, torch.tensor(lengths, device=device))


def base_model(model: nn.Module) -> Any:
    """The transformers model inside, adapters left in place."""
    inner = getattr(model, "get_base_model", None)
    return inner() if inner is not None else model


def hidden_states(model: nn.Module, inputs: dict[str, Tensor], **options: Any) -> Any:
    """Runs the model without its head; ``last_hidden_state`` is ``(rows, length, width)``."""
    base = base_model(model)
    floats = {k: v.to(base.dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    return base.base_model(**floats, **options)


def logits_of(model: nn.Module, hidden: Tensor) -> Tensor:
    """The head over chosen positions: ``(…, width)`` to ``(…, vocabulary)``, at least float32."""
    base = base_model(model)
    logits: Tensor = base.get_output_embeddings()(hidden)
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    cap = getattr(base.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def pad_id(processor: Any) -> int:
    """The token that fills rows up; it is masked everywhere."""
    tokenizer = processor.tokenizer
    found = tokenizer.pad_token_id
    return int(found if found is not None else tokenizer.eos_token_id or 0)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keeps back a warning about transformers that PEFT causes and that its users cannot mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield
