"""Do trees teach as much as whole sequences? The default recipe with either packing, over seeds.

python benchmarks/pocket_packing.py [--quick] [--out runs/packing] [--seeds 0 1 2]

Both arms of a seed share the start, what it explored, and so the pairs; only the packing of the
preference stage differs. Loss and gradients are the same, but a batch is made of whole trajectories
in one arm and of single steps in the other. It goes on where it was stopped, arm by arm.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocket_gain import QUICK, measured, place, subject
from pocket_tables import change
from rich.console import Console

from sport.config import DPOStage, TuneStage
from sport.pipeline import Pipeline
from sport.progress import Progress
from sport.recipes import load_recipe
from sport.store import Run

RESULTS = Path(__file__).parent / "results" / "pocket_packing.json"
ARMS = {"tree": "round 1", "pairwise": "pairwise"}
"""The packings, and what their arms are called in the run: the recipe's own is trees."""


def main() -> None:
    """Runs what is still owed, stores it, and prints the gains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/packing"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="one seed, few tasks")
    parser.add_argument("--results", type=Path, default=None)
    options = parser.parse_args()
    results = options.results or (options.out / "quick.json" if options.quick else RESULTS)
    seeds = options.seeds[:1] if options.quick else options.seeds
    measured_seeds = [measure_seed(options.out, seed, options.quick) for seed in seeds]
    found = {**subject(options.quick), **place(), "seeds": measured_seeds}
    found["differences"] = differences(found)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(found, indent=1) + "\n")
    for name, row in found["differences"].items():
        print(f"{name:24} {row['points']:+.1f} [{row['lo']:+.1f}, {row['hi']:+.1f}] points")


def measure_seed(out: Path, seed: int, quick: bool) -> dict[str, Any]:
    """Start and both arms of one seed, on the test tasks."""
    size = [s for s in QUICK if not s.startswith("rounds")] if quick else []
    recipe = load_recipe("pocket", [f"seed={seed}", "evaluation.controls=[]", "rounds=1", *size])
    [packing] = {stage.packing for stage in recipe.tune if isinstance(stage, DPOStage)}
    assert packing == "tree", "the recipe's default"
    with Run.create(out / f"seed{seed}", recipe) as run:
        pipeline = Pipeline(run, Progress(Console(highlight=False)))
        start, split = pipeline.start(), pipeline.source.splits[-1]
        pipeline.evaluate_on(split, start, 0, None)
        explored = pipeline.explore(pipeline.synthesise(1), start, 1)
        pipeline.evaluate_on(split, pipeline.tune(explored, start, 1), 1, None)
        pairwise = pipeline.tune(explored, start, 1, "pairwise", whole_sequences(recipe.tune))
        pipeline.evaluate_on(split, pairwise, 1, "pairwise")
        return {"seed": seed, "pairs": len(run.pairs(1)), "arms": measured(run, pipeline.source)}


def whole_sequences(stages: Sequence[TuneStage]) -> list[TuneStage]:
    """The stages, the preference stages among them with whole sequences."""
    changed = {"packing": "pairwise"}
    return [s.model_copy(update=changed) if isinstance(s, DPOStage) else s for s in stages]


def differences(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Gains in AnsAcc, in points, with 95 % intervals, paired over all tasks of all seeds."""
    asked = {
        **{f"gain, {packing}": ("round 0", arm) for packing, arm in ARMS.items()},
        "tree less pairwise": (ARMS["pairwise"], ARMS["tree"]),
    }
    found = {}
    for name, (before, after) in asked.items():
        points = change(results, before, after)
        by_seed = [
            round(100 * (s["arms"][after]["ans_acc"] - s["arms"][before]["ans_acc"]), 2)
            for s in results["seeds"]
        ]
        found[name] = {
            "points": round(points.diff, 2),
            "lo": round(points.lo, 2),
            "hi": round(points.hi, 2),
            "by_seed": by_seed,
        }
    return found


if __name__ == "__main__":
    main()
