"""One arm of `tree_dpo.py`, in a process of its own: tunes once, and says what it took.

python benchmarks/tree_dpo_arms.py CASE ARM --limit CPU_SECONDS --out FILE
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from tree_dpo_worlds import CASES, Case, build_model, build_trajectory

from sport.policy.local import LocalPolicy
from sport.runtime import return_freed_memory
from sport.tune.base import Tuner
from sport.tune.config import LoraSettings, StepDPOConfig
from sport.tune.export import examples
from sport.tune.pairs import build_pairs
from sport.tune.pairwise import PairwisePacking
from sport.tune.step_dpo import Packing, StepDPO
from sport.tune.tree_packing import TreePacking
from sport.types import Trajectory

BUDGET = 16_384
TEXT_LAYERS = r"^(?!.*vision).*(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)$"

OURS = ("tree", "tree-gc", "tree-step", "pairwise")
TRL = ("trl-b1-gc-lean", "trl-b1-gc", "trl-b1", "trl-b1-pre", "trl-b4", "trl-b4-gc")
LEAN = "-lean"
"""Ending of arms that give freed memory back at once, as our gradient checkpointing does."""


class Meter:
    """CPU seconds and memory of this process, from where it is made."""

    def __init__(self, limit: float, out: Path) -> None:
        """A process that spends more than ``limit`` writes what it took so far, and ends."""
        Path("/proc/self/clear_refs").write_text("5")
        self._before = status_mb("VmRSS")
        self._cpu = time.process_time()
        self._out = out
        self.facts: dict[str, Any] = {}
        # Not by RLIMIT_CPU: the kernel accounts for it by sampled ticks, and stops too early.
        threading.Thread(target=self._watch, args=[limit], daemon=True).start()

    def write(self, finished: bool) -> None:
        """Writes what it took."""
        row = {
            "finished": finished,
            "cpu_s": round(time.process_time() - self._cpu, 3),
            "peak_mb": round(status_mb("VmHWM"), 1),
            "grown_mb": round(status_mb("VmHWM") - self._before, 1),
            **self.facts,
        }
        self._out.write_text(json.dumps(row))

    def _watch(self, limit: float) -> None:
        while time.process_time() - self._cpu < limit:
            time.sleep(0.2)
        self.write(finished=False)
        os._exit(0)


def status_mb(name: str) -> float:
    """A memory figure of this process, in MiB, as Linux calls it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def main() -> None:
    """Runs an arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("arm", choices=[*OURS, *TRL])
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = CASES[options.case]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, processor = build_model(case)
        trajectory = build_trajectory(case, folder / "blobs")
        tune = tune_by_trl if options.arm in TRL else tune_by_us
        job = tune(options.arm, case, model, processor, trajectory, folder)
        meter = Meter(options.limit, options.out)
        meter.facts = job()
        meter.write(finished=True)


def tune_by_us(
    arm: str,
    case: Case,
    model: Any,
    processor: Any,
    trajectory: Trajectory,
    folder: Path,
    device: str = "cpu",
) -> Callable[[], dict[str, Any]]:
    """What tunes by one of our packings, and tells how many tokens it forwarded."""
    packing: Packing = PairwisePacking(BUDGET)
    if arm != "pairwise":
        packing = TreePacking(BUDGET, per_step=arm == "tree-step")
    pairs, _ = build_pairs([trajectory])
    config = StepDPOConfig(
        batch_pairs=len(pairs),
        learning_rate=1e-4,
        token_budget=BUDGET,
        gradient_checkpointing=arm.endswith("-gc"),
        lora=LoraSettings(r=8, alpha=16, target_modules=TEXT_LAYERS),
    )
    policy = LocalPolicy(model, processor, "bench", device=device, context=16_384)
    tuner: Tuner = StepDPO(packing, config)

    def job() -> dict[str, Any]:
        tuner.tune([trajectory], policy, folder / "adapter")
        units = packing.units(processor, [trajectory], pairs)
        return {"tokens": sum(unit.tokens for unit in units)}

    return job


def tune_by_trl(
    arm: str,
    case: Case,
    model: Any,
    processor: Any,
    trajectory: Trajectory,
    folder: Path,
    device: str = "cpu",
) -> Callable[[], dict[str, Any]]:
    """What tunes by TRL, with the setting that the arm's name says."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageFeature
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    from sport.tune.export import trl_row

    pairs, _ = build_pairs([trajectory])
    rows = [trl_row(example) for example in examples([trajectory], pairs)]
    part = {"type": Value("string"), "text": Value("string")}
    chat = List({"role": Value("string"), "content": List(part)})
    features = {"prompt": chat, "chosen": chat, "rejected": chat}
    if case.images:
        features["images"] = List(ImageFeature())
    else:
        rows = [_as_text(row) for row in rows]
        text = List({"role": Value("string"), "content": Value("string")})
        features = dict.fromkeys(features, text)
    data = Dataset.from_list(rows, features=Features(features))
    _, size, *more = arm.split("-")
    batch = int(size[1:])
    args = DPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=-(-len(pairs) // batch),
        gradient_checkpointing="gc" in more,
        precompute_ref_log_probs="pre" in more,
        num_train_epochs=1,
        learning_rate=1e-4,
        max_length=None,
        save_strategy="no",
        report_to="none",
        use_cpu=device == "cpu",
        bf16=device != "cpu",
        disable_tqdm=True,
    )
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=TEXT_LAYERS)

    def job() -> dict[str, Any]:
        if arm.endswith(LEAN):
            return_freed_memory()
        with contextlib.redirect_stdout(open(os.devnull, "w")):
            trainer = DPOTrainer(
                model=model,
                processing_class=processor if case.images else processor.tokenizer,
                train_dataset=data,
                peft_config=lora,
                args=args,
            )
            trainer.train()
        # Both sequences of every pair, padding left out.
        units = PairwisePacking(1).units(processor, [trajectory], pairs)
        return {"tokens": sum(unit.tokens for unit in units)}

    return job


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """An example without images, with plain contents, which TRL then need not structure."""
    return {
        name: [{**turn, "content": turn["content"][-1]["text"]} for turn in row[name]]
        for name in ("prompt", "chosen", "rejected")
    }


if __name__ == "__main__":
    main()
