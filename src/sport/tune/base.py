"""What a tuner is: it turns trajectories into an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sport.policy.local import LocalPolicy
from sport.types import Trajectory


class TuningError(RuntimeError):
    """Tuning cannot go on (no pairs, NaN, collapse); says why and what would mend it."""


class Tuner(Protocol):
    """Tunes a policy on trajectories."""

    def tune(self, trajectories: Sequence[Trajectory], policy: LocalPolicy, out: Path) -> Path:
        """Tunes the policy's model, starting from the policy's adapter if it has one.

        Args:
            trajectories: What to learn from.
            policy: The policy to start from; it is also the reference.
            out: The adapter's folder (PEFT). It appears whole or not at all.
        """
        ...
