"""The optimizer loop that all tuners share."""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import PeftModel

from sport.tune.adapter import save_adapter
from sport.tune.base import TuningError
from sport.tune.config import OptimizerSettings

Item = TypeVar("Item")
Figures = dict[str, float]

log = logging.getLogger("sport")


@dataclass
class Hooks:
    """Who wants to know how tuning goes.

    Attributes:
        curve: JSONL file to which one row an optimizer step is appended.
        on_step: Called with every row, and with ``{"stage", "phase", "done", "of"}`` while
            references are computed.
        on_epoch: Called after every epoch with its number, from 1, and the folder of the adapter
            as it is then. It may return a score, higher is better: the best epoch's adapter is
            kept, and tuning stops after ``patience`` epochs without a better one.
        say: Called with a sentence that a person should read; it is logged where it is left out.
    """

    curve: Path | None = None
    on_step: Callable[[dict[str, Any]], None] | None = None
    on_epoch: Callable[[int, Path], float | None] | None = None
    say: Callable[[str], None] = log.warning

    def step(self, row: dict[str, Any]) -> None:
        """Writes a row and passes it on."""
        if self.curve is not None:
            self.curve.parent.mkdir(parents=True, exist_ok=True)
            with self.curve.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        self.progress(row)

    def progress(self, row: dict[str, Any]) -> None:
        """Passes a row on."""
        if self.on_step is not None:
            self.on_step(row)


@dataclass
class _Best:
    """The best epoch so far."""

    score: float = -math.inf
    age: int = 0
    folder: Path | None = field(default=None)


class _Optimizer:
    """AdamW over the trainable parameters, with clipping and a check of every step."""

    def __init__(self, model: PeftModel, settings: OptimizerSettings) -> None:
        self._settings = settings
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._adam = torch.optim.AdamW(
            self._parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, learn: Callable[[], Figures], share: float) -> Figures:
        """One step at a share of the peak rate; its figures."""
        began = time.perf_counter()
        rate = self._settings.learning_rate * share
        self._adam.param_groups[0]["lr"] = rate
        self._adam.zero_grad(set_to_none=True)
        figures = learn()
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.max_grad_norm))
        if not (math.isfinite(figures["loss"]) and math.isfinite(norm)):
            raise TuningError(
                f"a step gave the loss {figures['loss']} and the gradient norm {norm}: lower "
                "learning_rate, or switch bf16 off"
            )
        self._adam.step()
        seconds = time.perf_counter() - began
        more = {"lr": rate, "grad_norm": norm, "seconds": seconds}
        return figures | more | {"tokens_per_s": figures["tokens"] / seconds}


def fit(
    model: PeftModel,
    items: Sequence[Item],
    sizes: Sequence[int],
    batch_size: int,
    learn: Callable[[list[Item]], Figures],
    settings: OptimizerSettings,
    stage: str,
    hooks: Hooks,
    out: Path,
) -> Path:
    """Trains the adapter, and writes it.

    Args:
        model: Its trainable parameters learn.
        items: What batches are made of.
        sizes: How much each item counts towards ``batch_size``.
        batch_size: The smallest size of a batch.
        learn: Adds a batch's gradients and tells its figures: ``loss``, ``tokens``, and more.
        settings: Of the optimizer.
        stage: Name of the stage in rows and errors.
        hooks: Who wants to know.
        out: The adapter's folder.

    Raises:
        TuningError: The loss is not a number.
    """
    optimizer = _Optimizer(model, settings)
    deal = partial(_batches, items, sizes, batch_size, settings.seed)
    plan = [list(deal(epoch)) for epoch in range(settings.epochs)]
    total, step, best = sum(map(len, plan)), 0, _Best()
    for epoch, batches in enumerate(plan, start=1):
        for batch in batches:
            row = {"stage": stage, "epoch": epoch, "step": step + 1, "of": total}
            figures = optimizer.step(
                partial(learn, batch), rate_share(step, total, settings.warmup)
            )
            step += 1
            hooks.step(row | figures)
        if _epoch_ends(model, epoch, settings.patience, hooks, out, best):
            break
    return _finish(model, best, out)


def rate_share(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: rises linearly, then falls linearly to 0 at ``total``."""
    rise = math.ceil(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return (total - step) / max(1, total - rise)


def _batches(
    items: Sequence[Item], sizes: Sequence[int], batch_size: int, seed: int, epoch: int
) -> Iterator[list[Item]]:
    order = list(range(len(items)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    batch: list[Item] = []
    filled = 0
    for index in order:
        batch.append(items[index])
        filled += sizes[index]
        if filled >= batch_size:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def _epoch_ends(
    model: PeftModel, epoch: int, patience: int, hooks: Hooks, out: Path, best: _Best
) -> bool:
    """Whether to stop: asks for the epoch's score, and keeps its adapter if it is the best."""
    if hooks.on_epoch is None:
        return False
    folder = save_adapter(model, out.with_name(f".{out.name}.epoch{epoch}"))
    score = hooks.on_epoch(epoch, folder)
    if score is None:
        shutil.rmtree(folder)
        return False
    if score > best.score:
        if best.folder is not None:
            shutil.rmtree(best.folder)
        best.score, best.age, best.folder = score, 0, folder
    else:
        shutil.rmtree(folder)
        best.age += 1
    return best.age >= patience


def _finish(model: PeftModel, best: _Best, out: Path) -> Path:
    if best.folder is None:
        return save_adapter(model, out)
    shutil.rmtree(out, ignore_errors=True)
    return best.folder.rename(out)
