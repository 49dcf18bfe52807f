"""Which way of tuning suits the embedded controller, by the development tasks.

python benchmarks/pocket_sweep.py [--out runs/sweep] [--seed 0] [--only NAME …] [--threads 2]

Every setting tunes the same start on the same candidates of one round; all are measured on the
development tasks and none on the test tasks. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from sport.config import DPOStage, SFTStage, TuneStage
from sport.pipeline import Pipeline
from sport.progress import Progress
from sport.recipes import load_recipe
from sport.store import Run

RESULTS = Path(__file__).parent / "results" / "pocket_sweep.json"


def settings() -> Mapping[str, Sequence[TuneStage]]:
    """The settings that are compared, by name."""
    found: dict[str, Sequence[TuneStage]] = {}
    for rate in (3e-4, 5e-4, 1e-3):
        found[f"dpo {rate:g}"] = [DPOStage(learning_rate=rate)]
    for rate in (5e-4, 1e-3, 2e-3):
        found[f"sft {rate:g}"] = [SFTStage(learning_rate=rate)]
    found["sft 0.001, 2 epochs"] = [SFTStage(learning_rate=1e-3, epochs=2)]
    for options in (
        {"epochs": 2},
        {"beta": 0.03},
        {"beta": 0.3},
        {"label_smoothing": 0.1},
        {"length_normalise": True, "beta": 2.0},
        {"nll_weight": 1.0},
    ):
        named = ", ".join(f"{key} {value:g}" for key, value in options.items())
        found[f"dpo 0.0005, {named}"] = [DPOStage(learning_rate=5e-4, **options)]
    for first, then in ((3e-4, 3e-4), (1e-3, 1e-4), (1e-3, 3e-4), (1e-3, 5e-4), (2e-3, 3e-4)):
        found[f"sft {first:g}, dpo {then:g}"] = [
            SFTStage(learning_rate=first),
            DPOStage(learning_rate=then),
        ]
    found["dpo 0.0003, sft 0.001"] = [DPOStage(learning_rate=3e-4), SFTStage(learning_rate=1e-3)]
    return found


def main() -> None:
    """Runs the sweep and prints what it found, the best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the model")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    chosen = {n: s for n, s in settings().items() if options.only is None or n in options.only}
    changes = [f"seed={options.seed}", f"policy.model={options.model}", "evaluation.dev=300"]
    changes.append(f"policy.threads={options.threads}")
    recipe = load_recipe("pocket", changes)
    with Run.create(options.out, recipe) as run:
        progress = Progress(Console(highlight=False))
        rows = sweep(Pipeline(run, progress), chosen)
    options.results.parent.mkdir(exist_ok=True)
    options.results.write_text(json.dumps(rows, indent=1) + "\n")
    for row in sorted(rows, key=lambda r: -float(str(r["ans_acc"]))):
        figures = "  ".join(f"{k} {row[k]:.3f}" for k in ("ans_acc", "tool_acc", "code_exec"))
        print(f"{row['name']:36} {figures}")


def sweep(pipeline: Pipeline, chosen: Mapping[str, Sequence[TuneStage]]) -> list[dict[str, object]]:
    """A row a setting: its figures on the development tasks."""
    run, start = pipeline.run, pipeline.start()
    pipeline.evaluate_on("dev", start, 0, None)
    explored = pipeline.explore(pipeline.synthesise(1), start, 1)
    rows = [{"name": "start", **_figures(run, 0, None)}]
    for name, stages in chosen.items():
        control = name.replace(", ", "+").replace(" ", "_")
        adapter = pipeline.tune(explored, start, 1, control, stages)
        pipeline.evaluate_on("dev", adapter, 1, control)
        rows.append({"name": name, **_figures(run, 1, control)})
    return rows


def _figures(run: Run, round: int, control: str | None) -> dict[str, object]:
    [row] = [
        r
        for r in run.metrics()
        if (r["round"], r["control"], r["split"]) == (round, control, "dev")
    ]
    keys = ("n", "ans_acc", "ans_acc_ci", "tool_acc", "code_exec", "gain")
    return {key: row[key] for key in keys}


if __name__ == "__main__":
    main()
