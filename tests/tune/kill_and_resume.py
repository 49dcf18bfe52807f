"""Tunes a toy; with a number, kills itself at that step. Run by `test_resume_tuning.py`.

python kill_and_resume.py FOLDER OUT KIND DTYPE [STEP]
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tune_toys import small_world, tiny_model

from sport.policy.local import LocalPolicy
from sport.tune import SFT, Hooks, LoraSettings, SFTConfig, StepDPOConfig, TreeDPO
from sport.tune.base import Tuner

SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "learning_rate": 1e-2,
    "checkpoint_steps": 2,
    "lora": LoraSettings(r=4, alpha=8),
}
STEPS = 3 * 4


def tune(folder: Path, out: Path, kind: str, dtype: str, kill_at: int | None = None) -> Path:
    """Twelve steps, an evaluation after each epoch; dies after the step ``kill_at`` is written."""
    torch.set_num_threads(1)

    def on_step(row: dict[str, Any]) -> None:
        if kill_at is not None and row.get("step") == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    scores = {1: 0.2, 2: 0.5, 3: 0.4}
    hooks = Hooks(
        curve=out.with_suffix(".jsonl"),
        label={"index": 0},
        on_step=on_step,
        on_epoch=lambda epoch, _: scores[epoch],
    )
    model, processor = tiny_model()
    policy = LocalPolicy(model.to(getattr(torch, dtype)), processor, "toy")
    cache = out.with_name("references.jsonl")
    tuner: Tuner = (
        SFT(SFTConfig(batch_actions=4, **SETTINGS), hooks)
        if kind == "sft"
        else TreeDPO(StepDPOConfig(batch_pairs=10, **SETTINGS), hooks=hooks, cache=cache)
    )
    return tuner.tune(small_world(folder, 8), policy, out)


if __name__ == "__main__":
    step = int(sys.argv[5]) if len(sys.argv) > 5 else None
    tune(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], step)
