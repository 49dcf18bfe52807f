"""A model with its adapter merged, as one folder that loads by transformers' Auto classes."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from torch import nn


def write_merged(model: nn.Module, processor: Any, out: Path) -> Path:
    """Writes model and processor; the model itself stays as it is.

    Args:
        model: A transformers model, or a PEFT model around one.
        processor: Its processor.
        out: The folder; it appears whole or not at all, and must not be there.

    Raises:
        ValueError: The folder is there.
    """
    if out.exists():
        raise ValueError(f"{out} is there already: choose another folder, or remove it")
    whole: Any = model
    if hasattr(model, "merge_and_unload"):
        whole = copy.deepcopy(model)
        whole = whole.merge_and_unload()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    whole.save_pretrained(str(partial))
    processor.save_pretrained(str(partial))
    partial.rename(out)
    return out
