"""Is the gain real? The whole default recipe against controls, over seeds, on the test tasks.

python benchmarks/pocket_gain.py [--quick] [--out runs/gain] [--seeds 0 1 2] [--threads 2]
    [--clean MODEL]

Arms of one seed share the start and what it explored; only verdicts, labels or stages differ. It
goes on where it was stopped, arm by arm; a seed that the results have already is not measured
again. `--clean` names a controller that was trained without faulty demonstrations, by `sport pocket
train-base --clean`: the headroom that was designed in.
`--tables` measures nothing: it prints the tables of the results that are there, and writes them
and the pictures into `docs/evidence.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocket_plots import write_pictures
from pocket_tables import tables, write_page
from rich.console import Console

from sport.assemble import golds
from sport.config import DPOStage
from sport.controls import run_control
from sport.evals.funnel import count
from sport.evals.verdicts import verdict_stats
from sport.loop import improve
from sport.measure import Measurement
from sport.pipeline import Pipeline
from sport.pocket.model import BASE
from sport.progress import Progress
from sport.recipes import load_recipe
from sport.sources import Source
from sport.store import Run
from sport.types import Trajectory
from sport.verify.relabel import verifier_accuracy

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "pocket_gain.json"
SWEEP = HERE / "results" / "pocket_sweep.json"
PAPER = DPOStage(learning_rate=5e-4)
"""The paper's loss alone, at its best rate in `pocket_sweep.py`."""
CONTROLS = (
    "random", "shuffled", "shuffled-2", "shuffled-3", "sft",
    "oracle", "oracle-90", "oracle-80", "oracle-70", "oracle-60",
)  # fmt: skip
FULL = (
    "rounds=3",
    "evaluation.dev=1",
)  # Nothing is chosen here: the development set plays no part.
QUICK = ("rounds=1", "synthesis.tasks_per_round=48", "evaluation.dev=16", "evaluation.test=48")


def main() -> None:
    """Runs what is still owed, stores it, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clean", type=Path, default=None, metavar="MODEL")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the model")
    parser.add_argument("--quick", action="store_true", help="one seed, few tasks, few controls")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--results", type=Path, default=None)
    options = parser.parse_args()
    results = options.results or (options.out / "quick.json" if options.quick else RESULTS)
    if not options.tables:
        known = measured_before(results)
        for seed in options.seeds[:1] if options.quick else options.seeds:
            if seed not in known:
                known[seed] = measure_seed(options.out, seed, options)
            results.parent.mkdir(parents=True, exist_ok=True)
            by_seed = [known[seed] for seed in sorted(known)]
            results.write_text(json.dumps({**subject(options.quick), "seeds": by_seed}, indent=1))
    found = json.loads(results.read_text())
    for title, text in tables(found).items():
        print(f"\n== {title}\n{text}")
    if not options.quick:
        write_page(found, json.loads(SWEEP.read_text()))
        write_pictures(found)


def measure_seed(out: Path, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """All arms of one seed."""
    size = QUICK if options.quick else FULL
    size = (*size, f"policy.threads={options.threads}")
    recipe = load_recipe("pocket", [f"seed={seed}", "evaluation.controls=[]", *size])
    progress = Progress(Console(highlight=False))
    with Run.create(out / f"seed{seed}", recipe) as run:
        pipeline = Pipeline(run, progress)
        last = improve(pipeline, recipe.rounds)
        pipeline.probe(last, recipe.rounds)
        for control in ("random", "sft") if options.quick else CONTROLS:
            run_control(pipeline, control)
        paper = pipeline.tune(pipeline.explored(1), pipeline.start(), 1, "dpo", [PAPER])
        pipeline.evaluate(paper, 1, "dpo")
        pipeline.best_of_n(pipeline.start(), 0)
        arms = measured(run, pipeline.source)
        verifier = {k: agreement(run, k) for k in range(1, recipe.rounds + 1)}
    overrides = {"no tools": [f"policy.adapter={last}", "tools=[]"]}
    if options.clean:
        overrides["clean start"] = [f"policy.model={options.clean.absolute()}"]
    for name, changes in overrides.items():
        sized = [x for x in size if not x.startswith("rounds=")]
        changed = [f"seed={seed}", "evaluation.controls=[]", *sized, *changes, "rounds=0"]
        folder = out / f"seed{seed}-{name.replace(' ', '-')}"
        with Run.create(folder, load_recipe("pocket", changed)) as run:
            pipeline = Pipeline(run, progress)
            pipeline.evaluate(pipeline.start(), 0)
            arms[name] = measured(run, pipeline.source)["round 0"]
    return {"seed": seed, **place(), "arms": arms, "verifier": verifier}


def measured(run: Run, source: Source) -> dict[str, Any]:
    """Figures on the test tasks of every arm, and which of them were answered right."""
    tasks, found = run.tasks("test"), {}
    for row in run.metrics():
        if row["split"] == "dev":
            continue
        arm = row["control"] or f"round {row['round']}"
        arm = f"best of {row['samples']}" if row["samples"] > 1 else arm
        arm = f"{arm}, {row['probe']} picture" if row.get("probe") else arm
        keys = ("n", "ans_acc", "ans_acc_ci", "tool_acc", "code_exec", "by_kind", "seconds")
        found[arm] = {key: row[key] for key in keys}
        if "probe" not in row:
            what = Measurement(row["split"], row["round"], row["control"], row["samples"])
            done = list(run.trajectories_in(what.file(run)))
            right = [source.score(t, d).answer for t, d in zip(tasks, done, strict=True)]
            found[arm]["right"] = "".join(str(int(bool(r))) for r in right)
            wrong = [d for d, r in zip(done, right, strict=True) if not r]
            found[arm]["copying"] = miscopied(wrong)
    return found


def miscopied(failed: Sequence[Trajectory]) -> dict[str, dict[str, int]]:
    """Of failures in tasks that name a shop, by kind: in how many no code named that shop."""
    found: dict[str, dict[str, int]] = {}
    for trajectory in failed:
        kind, (_, asked, shop) = trajectory.task.kind, trajectory.task.query.partition(" at ")
        if kind and asked:
            said = "\n".join(s.winner.action.code or "" for s in trajectory.steps if s.winner)
            counts = found.setdefault(kind, {"failed": 0, "miscopied": 0})
            counts["failed"] += 1
            counts["miscopied"] += shop.rstrip("?") not in said
    return found


def agreement(run: Run, round: int) -> dict[str, Any]:
    """The verifier against the oracle on what a round explored, and the round's pairs."""
    report = verifier_accuracy(run.trajectories(round), golds(run.tasks(round=round)))
    places = verdict_stats(run.trajectories(round)).places
    funnel = count(run.trajectories(round), run.recipe.pairs)
    return {
        "overall": report.overall.model_dump(),
        "by_kind": {kind: a.model_dump() for kind, a in report.by_kind.items()},
        "by_error": {error: t.model_dump() for error, t in report.by_error.items()},
        "places": [{"won": p.won, "shown": p.shown} for p in places],
        "pairs": funnel.pairs,
        "candidates": funnel.candidates,
        "steps": funnel.steps,
        "judged": funnel.judged,
        "dropped": dict(funnel.dropped),
    }


def measured_before(results: Path) -> dict[int, Any]:
    """The seeds that a file of results has already, of the same recipe and the same model."""
    if not results.exists():
        return {}
    found = json.loads(results.read_text())
    now = subject(found["quick"])
    if any(found[key] != now[key] for key in ("recipe", "model")):
        return {}
    return {s["seed"]: s for s in found["seeds"]}


def subject(quick: bool) -> dict[str, Any]:
    """What is measured, and where."""
    return {
        "quick": quick,
        "recipe": load_recipe("pocket").model_dump(mode="json", include={"tune", "sampling"}),
        "model": hashlib.sha256((BASE / "model.safetensors").read_bytes()).hexdigest(),
    }


def place() -> dict[str, Any]:
    """What one must know to place the figures of a seed."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE
    )
    return {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
    }


if __name__ == "__main__":
    main()
