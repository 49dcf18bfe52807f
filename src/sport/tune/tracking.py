"""Figures of a tuning for any tracker that Accelerate knows: TensorBoard, W&B, MLflow, others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sport.tune.base import TuningError

Row = dict[str, Any]


@contextmanager
def tracking(tracker: Any, folder: Path, config: Row) -> Iterator[Callable[[Row], None]]:
    """Gives what logs a row; the tracker is closed at the end of the block.

    Args:
        tracker: A name that Accelerate knows, or one of its ``GeneralTracker`` objects.
        folder: Where trackers that write files put them.
        config: What is tracked, by flat names.

    Raises:
        TuningError: The tracker is not installed, or not known.
    """
    from accelerate.accelerator import Accelerator

    try:
        accelerator = Accelerator(log_with=tracker, project_dir=str(folder))
        accelerator.init_trackers("sport", config=config)
    except ValueError as error:
        raise TuningError(f"tracker {tracker!r}: {error}") from error
    if not accelerator.trackers:
        raise TuningError(f"tracker {tracker!r} is not installed: pip install {tracker}")

    def log(row: Row) -> None:
        if "step" in row:
            figures = {k: v for k, v in row.items() if isinstance(v, int | float)}
            prefix = row.get("stage", "tune")
            accelerator.log({f"{prefix}/{k}": v for k, v in figures.items()}, step=row["step"])

    try:
        yield log
    finally:
        # Not by Accelerate's own end of training, which takes the process group with it.
        for closing in accelerator.trackers:
            closing.finish()
