"""A controller on this machine: any image-text-to-text model of transformers, with an adapter."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sport.policy.base import ContextFull, Request
from sport.policy.decode import Row, Stops, decode
from sport.policy.encode import Encoded, encode
from sport.policy.forward import base_model, quiet_peft
from sport.policy.history import Histories
from sport.policy.parse import parse_action
from sport.policy.shared import SHARE_FROM, why_copies
from sport.policy.template import check_prefix
from sport.policy.text import TextProcessor
from sport.types import Action, Message

log = logging.getLogger("sport")

_MERGE_BELOW = 200_000_000
"""Below this number of weights an adapter is merged into a copy for sampling, which is faster."""


class LocalPolicy:
    """Samples from a model in this process.

    Attributes:
        model: A transformers model, or a PEFT model around one.
        processor: Its processor.
        name: Versioned name, written into every trajectory.
        context: The longest sequence that the model takes, in tokens.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        name: str,
        device: str = "cpu",
        batch_rows: int = 320,
        context: int | None = None,
        history_mb: int = 2048,
    ) -> None:
        """Takes a model as it is.

        Args:
            model: A transformers model, or a PEFT model around one; it is moved to ``device``.
            processor: Its processor.
            name: Versioned name.
            device: Such as ``cpu`` or ``cuda:0``.
            batch_rows: How many candidates decode together.
            context: The longest sequence allowed; by default what the model's config says.
            history_mb: Memory, in MiB, for what was read of chats that may go on; 0 reads every
                prompt anew.

        Raises:
            EncodingError: The chat template rewrites earlier turns.
        """
        check_prefix(processor)
        self.model = model.to(device).eval()
        self.processor = processor
        self.name = name
        self.context: int = (
            context or base_model(model).config.get_text_config().max_position_embeddings
        )
        self._batch_rows = batch_rows
        self._stops = Stops(model, processor)
        self._merged: nn.Module | None = None
        self._histories = Histories(history_mb * 2**20)
        self._sharing: bool | None = None
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: str | Path,
        adapter: str | Path | None = None,
        name: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_rows: int = 320,
        four_bit: bool = False,
        history_mb: int = 2048,
    ) -> LocalPolicy:
        """Loads a model folder or hub name by its Auto classes, and a PEFT adapter.

        Args:
            path: Folder or hub name of the model.
            adapter: Folder of a PEFT adapter.
            name: Versioned name; by default made of the folders' names.
            device: Such as ``cpu`` or ``cuda:0``.
            dtype: Of the weights.
            batch_rows: How many candidates decode together.
            four_bit: Whether the model's own weights are kept in NF4 (QLoRA).
            history_mb: Memory, in MiB, for what was read of chats that may go on.

        Raises:
            ValueError: A folder is not what it should be, or bitsandbytes is missing.
        """
        model, processor = load_model(path, adapter, dtype, four_bit)
        name = name or "+".join(Path(p).name for p in (path, adapter) if p is not None)
        return cls(model, processor, name, device, batch_rows, history_mb=history_mb)

    async def sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
        """Samples ``plan.n`` actions for each request; see :class:`sport.policy.base.Policy`."""
        return await asyncio.to_thread(self._sample, requests)

    def _sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
        with self._lock:
            results: list[list[Action] | ContextFull] = []
            chats: list[Encoded] = []
            groups: list[list[Row]] = []
            for request in requests:
                try:
                    chat = self._encode(request)
                except ContextFull as full:
                    results.append(full)
                    continue
                chats.append(chat)
                groups.append(_rows(request))
                results.append([])
            self._decode(chats, groups)
            answers = iter(groups)
            return [
                r if isinstance(r, ContextFull) else [self._action(row) for row in next(answers)]
                for r in results
            ]

    def _encode(self, request: Request) -> Encoded:
        room = self.context - request.plan.max_new_tokens
        return encode(self.processor, request.messages, limit=room)

    def _decode(self, chats: list[Encoded], groups: list[list[Row]]) -> None:
        model = self._sampler()
        start = 0
        while start < len(chats):
            end, rows = start + 1, len(groups[start])
            while end < len(chats) and rows + len(groups[end]) <= self._batch_rows:
                rows += len(groups[end])
                end += 1
            decode(
                model,
                self.processor,
                self._stops,
                chats[start:end],
                groups[start:end],
                self._histories,
                share=self._shares(model, chats[start:end]),
            )
            start = end
        self._histories.turn()

    def _shares(self, model: nn.Module, chats: Sequence[Encoded]) -> bool:
        """Whether candidates share their prompts: long ones, if a trial says that the model can."""
        if max(len(chat.ids) for chat in chats) < SHARE_FROM:
            return False
        if self._sharing is None:
            text = encode(self.processor, (Message(role="user", text="One, two"),))
            reason = why_copies(model, text)
            self._sharing = reason is None
            if reason is not None:
                log.warning("long prompts are copied for each candidate: %s", reason)
        return self._sharing

    def _sampler(self) -> nn.Module:
        """The model to sample from: a small one's adapter is merged, once."""
        model: Any = self.model
        if not hasattr(model, "merge_and_unload") or _size(model) >= _MERGE_BELOW:
            return self.model
        if self._merged is None:
            self._merged = copy.deepcopy(model).merge_and_unload().eval()
        return self._merged

    def _action(self, row: Row) -> Action:
        return parse_action(self._stops.text(row), row.finish, row.temperature, row.logp)


def load_model(
    path: str | Path,
    adapter: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    four_bit: bool = False,
) -> tuple[nn.Module, Any]:
    """Loads (model, processor) by transformers' Auto classes, and a PEFT adapter.

    Raises:
        ValueError: A folder is not what it should be, or bitsandbytes is missing.
    """
    if Path(path).exists() and not (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} holds no model: there is no config.json in it")
    if adapter is not None and not (Path(adapter) / "adapter_config.json").is_file():
        raise ValueError(f"{adapter} holds no PEFT adapter: there is no adapter_config.json in it")
    model, processor = _load_base(path, dtype, four_bit)
    if adapter is not None:
        from peft import PeftModel

        with quiet_peft():
            model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), processor


def _load_base(path: str | Path, dtype: torch.dtype, four_bit: bool) -> tuple[Any, Any]:
    """A vision-language model with its processor, or a text model with its tokenizer."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
    )

    from sport.policy.image_only import load_processor

    config = AutoConfig.from_pretrained(path)
    options: dict[str, Any] = {"dtype": dtype}
    if four_bit:
        options["quantization_config"] = _nf4(dtype)
    if type(config) in AutoModelForImageTextToText._model_mapping:
        model = AutoModelForImageTextToText.from_pretrained(path, **options)
        return model, load_processor(path, config)
    model = AutoModelForCausalLM.from_pretrained(path, **options)
    return model, TextProcessor(AutoTokenizer.from_pretrained(path))


def _nf4(dtype: torch.dtype) -> Any:
    """Four bits a weight, computed in ``dtype``, as QLoRA has it (arXiv 2305.14314)."""
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ValueError(
            'quantize = "4bit" needs the package bitsandbytes: pip install bitsandbytes'
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _rows(request: Request) -> list[Row]:
    plan = request.plan
    if len(request.seeds) != plan.n:
        raise ValueError(f"{len(request.seeds)} seeds for {plan.n} candidates: give one each")
    return [
        Row(seed, temperature, plan.top_p, plan.max_new_tokens)
        for seed, temperature in zip(request.seeds, plan.temperatures, strict=True)
    ]


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
