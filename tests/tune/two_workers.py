"""Tunes a toy; run by `accelerate launch` in `test_workers.py`. python two_workers.py FOLDER OUT"""

import sys
from pathlib import Path

import torch
from tune_toys import small_world, tiny_model

from sport.policy.local import LocalPolicy
from sport.tune import Hooks, LoraSettings, StepDPOConfig, TreeDPO
from sport.tune.workers import Workers

CONFIG = StepDPOConfig(
    batch_pairs=20, epochs=2, learning_rate=1e-2, token_budget=256, lora=LoraSettings(r=4, alpha=8)
)


def tune(folder: Path, out: Path) -> Path:
    """A few steps in float64, with an evaluation after each epoch."""
    torch.set_num_threads(1)
    model, processor = tiny_model()
    policy = LocalPolicy(model.double(), processor, "toy")
    hooks = Hooks(
        curve=out.with_suffix(".jsonl"), on_epoch=lambda epoch, folder: float(folder.is_dir())
    )
    cache = out.with_name("references.jsonl")
    return TreeDPO(CONFIG, hooks=hooks, cache=cache).tune(small_world(folder, 7), policy, out)


if __name__ == "__main__":
    tune(Path(sys.argv[1]), Path(sys.argv[2]))
    workers = Workers()
    sys.stdout.write(f"{workers.rank}/{workers.count}\n")
