"""Trajectories made by hand, and a model with random weights to tune on them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sport.pocket.model import build_model
from sport.policy.messages import observe, opening
from sport.policy.parse import parse_action
from sport.policy.scripted import action
from sport.types import Candidate, File, Outcome, Status, Step, Task, Trajectory, Verdict

SIZES = {"hidden": 64, "layers": 2, "heads": 2, "vision_hidden": 32, "vision_layers": 2}


def tiny_model() -> tuple[Any, Any]:
    """A fresh copy of a tiny model, and its processor."""
    model, processor = _built()
    return copy.deepcopy(model), processor


@lru_cache(maxsize=1)
def _built() -> tuple[Any, Any]:
    """Embeddings at their initial scale would bound the logits near 1; so they are enlarged."""
    model, processor = build_model(seed=0, **SIZES)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(15)
    return model, processor


def picture(folder: Path, seed: int) -> File:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    sha = f"{seed:064d}"
    path = folder / sha[:2] / sha
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "png")
    return File(name=f"image_{seed}.png", sha256=sha, media_type="image/png", blobs=folder)


def candidate(code: str | None, status: Status = "ok", stdout: str = "5") -> Candidate:
    parsed = parse_action("nothing to run" if code is None else action(code, "I look."))
    outcome = None if code is None else Outcome(status=status, stdout=stdout)
    return Candidate(action=parsed, outcome=outcome, observation=observe(parsed, outcome))


def step(
    index: int,
    candidates: Sequence[Candidate],
    best: int | None = 0,
    scores: tuple[float, ...] | None = None,
) -> Step:
    return Step(
        index=index,
        candidates=tuple(candidates),
        verdict=Verdict(best=best, reason="said so", scores=scores),
        chosen=0 if best is None else best,
    )


def trajectory(
    steps: Sequence[Step], images: Sequence[File] = (), id: str = "t", query: str = "How many?"
) -> Trajectory:
    task = Task(id=id, query=query, files=tuple(images))
    return Trajectory(
        task=task, opening=opening(task, "compact"), steps=tuple(steps), end="finished"
    )


def small_world(folder: Path, tasks: int = 4) -> list[Trajectory]:
    """Two steps a task; reading is preferred to guessing, and answering to reading again."""
    read, guess, again = "print(ocr(1))", "final_answer(7)", "print(ocr(2))\nprint(3)"
    return [
        trajectory(
            [
                step(0, [candidate(guess), candidate(read), candidate(again), candidate(guess)], 1),
                step(1, [candidate("final_answer(5)"), candidate(again), candidate(read)], 0),
            ],
            [picture(folder, k)],
            id=f"t{k}",
            query=f"How many rice are there in {k}?",
        )
        for k in range(tasks)
    ]


def seeing(shown: Candidate, *images: File) -> Candidate:
    """The candidate, with pictures in what the model sees of it."""
    seen = shown.observation.model_copy(update={"images": tuple(images)})
    return shown.model_copy(update={"observation": seen})


def branching_world(folder: Path, images: bool) -> list[Trajectory]:
    """Trajectories with all that trees must get right.

    Candidates that begin alike, one that is the start of another one, equal ones, a step with one
    candidate, a step without a verdict, a rejected candidate that is longer than all that follows,
    several pictures, and pictures in observations.
    """
    pictures = [picture(folder, k) for k in range(5)] if images else []
    read, again = candidate("print(ocr(1))"), candidate("print(ocr(1))\nprint(2)")
    long = candidate("\n".join(f"a{k} = {k * k}" for k in range(30)))
    steps = [
        step(0, [candidate("a = 1"), seeing(read, *pictures[2:3]), again, read, long], 1),
        step(1, [candidate("b = 2")]),
        step(2, [candidate("c = 3"), candidate("c = 4")], None),
        step(3, [candidate("c = 5"), seeing(candidate("d = 5"), *pictures[3:4]), long], 1),
        step(4, [candidate("final_answer(1)"), candidate("final_answer(12)"), again, long], 0),
    ]
    short = [step(0, [candidate("final_answer(3)"), read, candidate("final_answer(4)")], 0)]
    return [
        trajectory(steps, pictures[:2], "long", "How many rice are there?"),
        trajectory(short, pictures[4:], "short", "How many star are there?"),
    ]
