"""Trains the embedded controller from random weights: ``sport pocket train-base``.

The warm start is imitation of deliberately imperfect demonstrations
(:mod:`sport.pocket.teacher`), with a copying curriculum mixed in from the start. Everything is
seeded; a checkpoint is written every few hundred steps, and the same command goes on from it.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from sport.pocket.curriculum import IGNORED, Lessons, Row, RowBuilder, make_lessons
from sport.pocket.model import build_model
from sport.runtime import keep_freed_memory

FIRST_PROBLEM = 1_000_000
"""Seed of the first demonstrated problem; the loop's own tasks lie below."""

_SHAPE_LENGTH, _SHAPE_POSITIONS = 32, 512
_BFLOAT16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""Whether this processor has the instructions: emulated, a step takes many times as long."""


class BaseRecipe(BaseModel):
    """How the embedded controller is trained.

    Attributes:
        seed: Seed of weights, demonstrations and order.
        problems: Number of different problems with pictures.
        per_picture: Demonstrations of each.
        steps: Optimizer steps.
        rows: Demonstrations a step.
        copying: Rows of the copying curriculum, every second step until four fifths of the way.
        lr: Peak learning rate; linear warm-up, cosine decay.
        weight_decay: AdamW's.
        clean: Spoil nothing (to measure the headroom that was designed in).
        log_every: Steps between lines of the log.
        save_every: Steps between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    problems: int = 10_000
    per_picture: int = 2
    steps: int = 1600
    rows: int = 32
    copying: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.05
    clean: bool = False
    log_every: int = 50
    save_every: int = 250


def train_base(
    recipe: BaseRecipe, out: Path, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Trains the controller into the folder ``out``: weights (fp16), processor and log.

    Args:
        recipe: How it is trained.
        out: The folder; an interrupted training in it goes on.
        say: Gets a line of progress at every line of the log.

    Returns:
        ``out``. The training log is ``out/train.jsonl``.
    """
    keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)
    model, processor = build_model(recipe.seed)
    trainer = _Trainer(model, processor, recipe, out, say)
    trainer.resume()
    trainer.run()
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
    (out / "recipe.json").write_text(recipe.model_dump_json(indent=1) + "\n")
    trainer.checkpoint.unlink(missing_ok=True)
    return out


class _Trainer:
    def __init__(
        self, model: Any, processor: Any, recipe: BaseRecipe, out: Path, say: Callable[[str], None]
    ) -> None:
        self.model, self.processor, self.recipe, self.say = model, processor, recipe, say
        self.checkpoint = out / "checkpoint.pt"
        self.log = out / "train.jsonl"
        self.builder = RowBuilder(processor)
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.step = 0
        images = processor.image_processor
        self.mean = torch.tensor(images.image_mean).view(1, 3, 1, 1)
        self.std = torch.tensor(images.image_std).view(1, 3, 1, 1)

    def resume(self) -> None:
        if not self.checkpoint.exists():
            self.log.unlink(missing_ok=True)
            return
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        # What was logged after the checkpoint is done again.
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        kept = [line for line in lines if 0 < line.get("step", 0) <= self.step]
        self.log.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def save(self) -> None:
        partial = self.checkpoint.with_suffix(".tmp")
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def run(self) -> None:
        r = self.recipe
        lessons = make_lessons(
            self.builder, self.processor, r.problems, r.per_picture, FIRST_PROBLEM, r.clean
        )
        self._write(rows=len(lessons.rows), faulty=lessons.faulty, right=lessons.right)
        self.model.train()
        started, losses, tokens = time.monotonic(), [], 0
        batches = _batches(lessons.rows, r, self.step)
        while self.step < r.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = _rate(r, self.step)
            loss, n = self._learn(next(batches), lessons)
            losses.append(loss)
            tokens += n
            if self.step % 2 == 0 and self.step < 0.8 * r.steps:
                self._learn(self._copying(), None)
            self.step += 1
            if self.step % r.log_every == 0:
                seconds = time.monotonic() - started
                recent = losses[-r.log_every :]
                mean = sum(recent) / len(recent)
                self._write(step=self.step, loss=mean, tokens=tokens, seconds=seconds)
            if self.step % r.save_every == 0:
                self.save()

    def _copying(self) -> list[Row]:
        rng = random.Random(f"copy/{self.recipe.seed}/{self.step}")
        return [self.builder.copying(rng) for _ in range(self.recipe.copying)]

    def _learn(self, rows: list[Row], lessons: Lessons | None) -> tuple[float, int]:
        ids, labels = _collate(rows)
        pixels = None
        if lessons is not None:
            chosen = torch.from_numpy(lessons.pictures[[row.picture for row in rows]])
            pixels = (chosen.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        with torch.autocast("cpu", torch.bfloat16, enabled=_BFLOAT16):
            loss = self._loss(ids, labels, pixels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach()), ids.numel()

    def _loss(self, ids: Tensor, labels: Tensor, pixels: Tensor | None) -> Tensor:
        # Padding is on the right and attention is causal, so that no mask is needed.
        hidden = self.model.model(input_ids=ids, pixel_values=pixels, use_cache=False)[0]
        targets = labels[:, 1:].flatten()
        learnt = (targets != IGNORED).nonzero()[:, 0]
        # Padded as the lengths are: a matrix product of a new shape costs seconds of compilation.
        learnt = F.pad(learnt, (0, -len(learnt) % _SHAPE_POSITIONS))
        padded = torch.arange(len(learnt)) >= (targets != IGNORED).sum()
        logits = self.model.lm_head(hidden[:, :-1].flatten(0, 1)[learnt]).float()
        return F.cross_entropy(logits, targets[learnt].masked_fill(padded, IGNORED))

    def _write(self, **values: float) -> None:
        line = json.dumps({k: round(v, 4) for k, v in values.items()})
        self.say(line)
        with self.log.open("a") as file:
            file.write(line + "\n")


def _rate(recipe: BaseRecipe, step: int) -> float:
    warm_up = min(1.0, (step + 1) / 100)
    return recipe.lr * warm_up * (0.02 + 0.49 * (1 + math.cos(math.pi * step / recipe.steps)))


def _batches(rows: list[Row], recipe: BaseRecipe, skip: int) -> Iterator[list[Row]]:
    """Endless batches of rows of like length; the first ``skip`` are left out."""
    epoch = 0
    while True:
        rng = random.Random(f"{recipe.seed}/{epoch}")
        order = list(range(len(rows)))
        rng.shuffle(order)
        span = recipe.rows * 8
        batches = []
        for i in range(0, len(order), span):
            alike = sorted(order[i : i + span], key=lambda k: len(rows[k].ids))
            batches += [alike[j : j + recipe.rows] for j in range(0, len(alike), recipe.rows)]
        batches = [batch for batch in batches if len(batch) == recipe.rows]
        rng.shuffle(batches)
        for batch in batches:
            if skip:
                skip -= 1
                continue
            yield [rows[k] for k in batch]
        epoch += 1


def _collate(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and labels, ``(rows, length)``."""
    longest = max(len(row.ids) for row in rows)
    length = longest + -longest % _SHAPE_LENGTH
    ids = np.zeros((len(rows), length), np.int64)
    labels = np.full((len(rows), length), IGNORED, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        labels[i, : len(row.labels)] = row.labels
    return torch.from_numpy(ids), torch.from_numpy(labels)
