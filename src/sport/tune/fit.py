"""The optimizer loop that all tuners share."""

from __future__ import annotations

import json
import logging
import math
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from peft import PeftModel

from sport.jsonl import append_lines, read_lines, write_whole
from sport.tune.adapter import adapter_state, load_adapter_state, save_adapter
from sport.tune.base import TuningError
from sport.tune.checkpoint import Checkpoint, Progress, checkpoint_file, identity_of
from sport.tune.config import OptimizerSettings
from sport.tune.workers import Workers

Item = TypeVar("Item")
Figures = dict[str, float]

log = logging.getLogger("sport")


@dataclass
class Hooks:
    """Who wants to know how tuning goes.

    Attributes:
        curve: JSONL file to which one row an optimizer step is appended, and one an epoch that
            got a score.
        label: What is put into every row, so that several tunings can share a file.
        on_step: Called with every row, and with ``{"stage", "phase", "done", "of"}`` while
            references are computed.
        on_epoch: Called after every epoch with its number, from 1, and the folder of the adapter
            as it is then. It may return a score, higher is better: the best epoch's adapter is
            kept, and tuning stops after ``patience`` epochs without a better one.
        say: Called with a sentence that a person should read; it is logged where it is left out.
    """

    curve: Path | None = None
    label: dict[str, Any] = field(default_factory=dict)
    on_step: Callable[[dict[str, Any]], None] | None = None
    on_epoch: Callable[[int, Path], float | None] | None = None
    say: Callable[[str], None] = log.warning

    def step(self, row: dict[str, Any]) -> None:
        """Writes a row and passes it on."""
        self.write(row)
        self.progress(row)

    def write(self, row: dict[str, Any]) -> None:
        """Writes a row."""
        if self.curve is not None:
            append_lines(self.curve, [json.dumps(self.label | row)])

    def progress(self, row: dict[str, Any]) -> None:
        """Passes a row on."""
        if self.on_step is not None:
            self.on_step(row)

    def begin(self, done: Progress) -> None:
        """Drops the rows that a killed tuning wrote after its last checkpoint."""
        if self.curve is None or not self.curve.is_file():
            return
        rows = [json.loads(line) for line in read_lines(self.curve)]
        kept = [row for row in rows if not self._is_undone(row, done)]
        write_whole(self.curve, "".join(json.dumps(row) + "\n" for row in kept))

    def _is_undone(self, row: dict[str, Any], done: Progress) -> bool:
        if any(row.get(key) != value for key, value in self.label.items()):
            return False
        return bool(row["step"] > done.steps if "step" in row else row["epoch"] > done.epochs)


@dataclass(frozen=True)
class Lesson(Generic[Item]):
    """What is to be learnt.

    Attributes:
        stage: Name of the stage in rows and errors.
        items: What batches are made of.
        sizes: How much each item counts towards ``batch_size``.
        batch_size: The smallest size of a batch.
        learn: Adds the gradients of this process's share of a batch, and tells the whole batch's
            figures: ``loss``, ``tokens``, and more.
        content: Digest of all that ``learn`` depends on besides the settings.
    """

    stage: str
    items: Sequence[Item]
    sizes: Sequence[int]
    batch_size: int
    learn: Callable[[list[Item]], Figures]
    content: str

    def batches(self, seed: int, epoch: int) -> Iterator[list[Item]]:
        """The batches of an epoch, in an order that the seed decides."""
        order = list(range(len(self.items)))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        batch: list[Item] = []
        filled = 0
        for index in order:
            batch.append(self.items[index])
            filled += self.sizes[index]
            if filled >= self.batch_size:
                yield batch
                batch, filled = [], 0
        if batch:
            yield batch


class _Optimizer:
    """AdamW over the trainable parameters, with clipping and a check of every step."""

    def __init__(self, model: PeftModel, settings: OptimizerSettings, workers: Workers) -> None:
        self._settings = settings
        self._workers = workers
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.adam = torch.optim.AdamW(
            self._parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, learn: Callable[[], Figures], share: float) -> Figures:
        """One step at a share of the peak rate; its figures."""
        began = time.perf_counter()
        rate = self._settings.learning_rate * share
        self.adam.param_groups[0]["lr"] = rate
        self.adam.zero_grad(set_to_none=True)
        figures = learn()
        self._workers.sum_gradients(self._parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.max_grad_norm))
        if not (math.isfinite(figures["loss"]) and math.isfinite(norm)):
            raise TuningError(
                f"a step gave the loss {figures['loss']} and the gradient norm {norm}: lower "
                "learning_rate, or switch bf16 off"
            )
        self.adam.step()
        seconds = time.perf_counter() - began
        more = {"lr": rate, "grad_norm": norm, "seconds": seconds, "peak_mb": _peak_mb()}
        return figures | more | {"tokens_per_s": figures["tokens"] / seconds}


def fit(
    model: PeftModel,
    lesson: Lesson[Any],
    settings: OptimizerSettings,
    hooks: Hooks,
    out: Path,
    workers: Workers,
) -> Path:
    """Trains the adapter, and writes it; goes on where a killed one with the same lesson was.

    Args:
        model: Its trainable parameters learn.
        lesson: What is to be learnt.
        settings: Of the optimizer.
        hooks: Who wants to know.
        out: The adapter's folder.
        workers: The processes that learn together.

    Raises:
        TuningError: The loss is not a number.
    """
    return _Fit(model, lesson, settings, hooks, out, workers).run()


class _Fit:
    """One training, from its last checkpoint to its end."""

    def __init__(
        self,
        model: PeftModel,
        lesson: Lesson[Any],
        settings: OptimizerSettings,
        hooks: Hooks,
        out: Path,
        workers: Workers,
    ) -> None:
        self._model, self._lesson, self._settings = model, lesson, settings
        self._hooks, self._out, self._workers = hooks, out, workers
        self._optimizer = _Optimizer(model, settings, workers)
        identity = identity_of(lesson.stage, lesson.content, settings.model_dump(mode="json"))
        self._checkpoint = Checkpoint(checkpoint_file(out), identity)
        self._done = Progress()

    def run(self) -> Path:
        self._resume()
        seed = self._settings.seed
        plan = [list(self._lesson.batches(seed, epoch)) for epoch in range(self._settings.epochs)]
        total, before = sum(map(len, plan)), 0
        for epoch, batches in enumerate(plan, start=1):
            if self._done.stopped:
                break
            for step, batch in enumerate(batches, start=before + 1):
                if step > self._done.steps:
                    self._step(epoch, step, total, batch)
            before += len(batches)
            if epoch > self._done.epochs:
                self._end_epoch(epoch)
        return self._finish()

    def _resume(self) -> None:
        found = self._checkpoint.load()
        if found is not None:
            self._done, weights, optimizer = found
            load_adapter_state(self._model, weights)
            self._optimizer.adam.load_state_dict(optimizer)
            self._hooks.say(f"tuning goes on after step {self._done.steps}")
        if self._workers.is_main:
            self._hooks.begin(self._done)

    def _step(self, epoch: int, step: int, total: int, batch: list[Any]) -> None:
        share = rate_share(step - 1, total, self._settings.warmup)
        figures = self._optimizer.step(lambda: self._lesson.learn(batch), share)
        self._done.steps = step
        if not self._workers.is_main:
            return
        row = {"stage": self._lesson.stage, "epoch": epoch, "step": step, "of": total}
        self._hooks.step(row | figures)
        if step % self._settings.checkpoint_steps == 0:
            self._save()

    def _save(self) -> None:
        weights, optimizer = adapter_state(self._model), self._optimizer.adam.state_dict()
        self._checkpoint.save(self._done, weights, optimizer)

    def _end_epoch(self, epoch: int) -> None:
        """Asks for the epoch's score, keeps its adapter if it is the best, and may stop."""
        worse = None
        if self._hooks.on_epoch is not None:
            score = self._workers.from_main(self._score(epoch) if self._workers.is_main else None)
            worse = None if score is None else self._weigh(epoch, score)
        self._done.epochs = epoch
        if self._workers.is_main:
            self._save()
            if worse is not None:
                shutil.rmtree(worse, ignore_errors=True)

    def _score(self, epoch: int) -> float | None:
        assert self._hooks.on_epoch is not None
        folder = save_adapter(self._model, self._epoch_folder(epoch))
        score = self._hooks.on_epoch(epoch, folder)
        if score is None:
            shutil.rmtree(folder)
        else:
            self._hooks.write({"stage": self._lesson.stage, "epoch": epoch, "score": score})
        return score

    def _weigh(self, epoch: int, score: float) -> Path | None:
        """Compares an epoch with the best so far; returns the folder that is no longer needed."""
        done, folder = self._done, self._epoch_folder(epoch)
        if done.score is not None and score <= done.score:
            done.age += 1
            done.stopped = done.age >= self._settings.patience
            return folder
        before = done.best
        done.score, done.age, done.best = score, 0, folder.name
        return None if before is None else self._out.with_name(before)

    def _epoch_folder(self, epoch: int) -> Path:
        return self._out.with_name(f".{self._out.name}.epoch{epoch}")

    def _finish(self) -> Path:
        if self._workers.is_main:
            if self._done.best is None:
                save_adapter(self._model, self._out)
            else:
                self._take(self._out.with_name(self._done.best))
            self._checkpoint.drop()
        self._workers.from_main(None)
        return self._out

    def _take(self, best: Path) -> None:
        """Puts the best epoch's adapter in place, unless a killed tuning has done so."""
        if best.is_dir():
            shutil.rmtree(self._out, ignore_errors=True)
            best.rename(self._out)


def rate_share(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: rises linearly, then falls linearly to 0 at ``total``."""
    rise = math.ceil(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return (total - step) / max(1, total - rise)


def _peak_mb() -> float:
    """Most memory that was in use so far, in MiB: of the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
