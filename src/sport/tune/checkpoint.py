"""Where a tuning stands, on the disk: one that was killed goes on, and ends as if it had not been.

Order and seeds follow from the settings, so weights, the optimizer's moments and the number of
steps are all that has to be kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sport.jsonl import storing


@dataclass
class Progress:
    """How far a tuning has come.

    Attributes:
        steps: Optimizer steps done.
        epochs: Epochs that have ended, their scores included.
        stopped: Whether it stopped early.
        score: The best epoch's score; ``None`` before there is one.
        age: Epochs since then.
        best: Name of the folder with the best epoch's adapter.
    """

    steps: int = 0
    epochs: int = 0
    stopped: bool = False
    score: float | None = None
    age: int = 0
    best: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A tuning's file.

    Attributes:
        file: Where it lies.
        identity: Digest of all that the tuning depends on: another tuning's file is ignored.
    """

    file: Path
    identity: str
    _names: tuple[str, ...] = field(default=tuple(Progress.__dataclass_fields__), repr=False)

    def load(self) -> tuple[Progress, dict[str, Tensor], dict[str, Any]] | None:
        """Progress, weights and the optimizer's state; ``None`` where there is none to go on."""
        if not self.file.is_file():
            return None
        state = torch.load(self.file, weights_only=True)
        if state["identity"] != self.identity:
            return None
        return Progress(**state["progress"]), state["weights"], state["optimizer"]

    def save(
        self, progress: Progress, weights: dict[str, Tensor], optimizer: dict[str, Any]
    ) -> None:
        """Writes through a neighbour: what is read is whole, or the one before."""
        state = {
            "identity": self.identity,
            "progress": {name: getattr(progress, name) for name in self._names},
            "weights": weights,
            "optimizer": optimizer,
        }
        partial = self.file.with_name(f"{self.file.name}.partial")
        with storing(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as out:
                torch.save(state, out)
                out.flush()
                os.fsync(out.fileno())
            partial.rename(self.file)

    def drop(self) -> None:
        """Removes it: the tuning has ended."""
        self.file.unlink(missing_ok=True)


def checkpoint_file(out: Path) -> Path:
    """Where the checkpoint of a tuning lies whose adapter goes to ``out``."""
    return out.with_name(f".{out.name}.checkpoint")


def identity_of(*parts: Any) -> str:
    """A digest of parts that are JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
