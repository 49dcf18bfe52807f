"""What a tuning step costs: TRL's DPOTrainer, whole sequences, trees of steps, and trees.

python benchmarks/tree_dpo.py [--quick] [--json] [--cases t4-p1000 …] [--results FOLDER]

Every arm tunes the same model by the same LoRA on the same pairs, one optimizer step over all of
them, on one thread, in a process of its own. What it took is kept in the results folder, so that a
run that was stopped goes on where it was; delete the folder to measure anew. TRL is given batches
of 1 and 4, gradient checkpointing off and on, also with freed memory given back at once (`lean`),
and a precomputed reference where it allows one: the setting with the least time counts for time,
and the one with the least memory for memory. Memory is what the resident set grew by, at most,
after model and data were loaded; before that it holds the libraries, which both sides need. An arm
that spends its limit is stopped, and counts as "at least".
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tree_dpo_arms import LEAN, OURS, TRL
from tree_dpo_worlds import CASES, FULL, QUICK, Case

HERE = Path(__file__).parent
LIMIT_TIMES = 30
"""An arm that counts for time is stopped after so many times the CPU time of the trees."""

RESULTS = HERE / "results" / "tree_dpo"
PAGE = HERE.parent / "docs" / "tuning.md"
BEGIN, END = "<!-- tree_dpo -->", "<!-- end -->"

Row = dict[str, Any]
Ratios = dict[str, Any]


def main() -> None:
    """Measures what is not yet measured, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small cases, within 3 minutes")
    parser.add_argument("--json", action="store_true", help="print ratios as JSON")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="measure these alone")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--page", action="store_true", help="measure nothing; write the table of docs/tuning.md"
    )
    options = parser.parse_args()
    if options.page:
        write_page(recorded(options.results))
        return
    names = options.cases or (QUICK if options.quick else FULL)
    trl = ("trl-b1-gc-lean", "trl-b1-gc", "trl-b4") if options.quick else TRL
    found = {
        name: measure(CASES[name], (*OURS, *trl), options.results / name, quiet=options.json)
        for name in names
    }
    ratios = {name: ratios_of(rows) for name, rows in found.items()}
    if options.json:
        print(json.dumps(ratios, indent=1))
        return
    for name, rows in found.items():
        print_case(name, rows, ratios[name])


def measure(case: Case, arms: tuple[str, ...], folder: Path, quiet: bool) -> dict[str, Row]:
    """The arms' rows; those that are there are not measured again."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Row] = {}
    for arm in arms:
        if case.images and arm.endswith("-pre"):
            continue  # TRL refuses it with images
        file = folder / f"{arm}.json"
        if not file.is_file():
            if not quiet:
                print(f"{case.name}: {arm} …", file=sys.stderr, flush=True)
            _run(case, arm, _limit(rows, arm), file)
        rows[arm] = json.loads(file.read_text())
    return rows


def _limit(rows: dict[str, Row], arm: str) -> float:
    """Seconds after which an arm can no longer be TRL's best, or is far off anyway."""
    if "tree" not in rows or arm.endswith(LEAN):
        return 3600.0  # a lean one counts for memory, which grows until its end
    best = min((r["cpu_s"] for a, r in rows.items() if a in TRL and r["finished"]), default=1e9)
    return min(1.1 * float(best), LIMIT_TIMES * float(rows["tree"]["cpu_s"]))


def _run(case: Case, arm: str, limit: float, file: Path) -> None:
    partial = file.with_suffix(".partial")
    command = [sys.executable, str(HERE / "tree_dpo_arms.py"), case.name, arm]
    command += ["--limit", str(limit), "--out", str(partial)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | threads | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not partial.is_file():
        raise SystemExit(f"{case.name}: {arm} failed:\n{done.stderr[-3000:]}")
    row = json.loads(partial.read_text()) | {"limit_s": round(limit, 1)} | _circumstances()
    partial.write_text(json.dumps(row, indent=1) + "\n")
    partial.rename(file)


def _circumstances() -> Row:
    commit = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, one thread used",
        "load": round(os.getloadavg()[0], 2),
        "commit": commit.stdout.strip(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def ratios_of(rows: dict[str, Row]) -> Row:
    """How many times as much the others take as trees do.

    ``*_is_bound`` tells that the other one was stopped, so that the ratio is a lower bound.
    """
    tree, trl = rows["tree"], [rows[arm] for arm in rows if arm in TRL]
    # One that was stopped took longer than its limit: it decides only where all others did, too.
    fastest = min(trl, key=lambda r: r["cpu_s"])
    leanest = min(trl, key=lambda r: r["grown_mb"])
    lean = min((rows[a] for a in ("tree", "tree-gc")), key=lambda r: r["grown_mb"])
    pairwise, tokens = rows["pairwise"], _pair_tokens(rows)
    return {
        "ratio_trl_cpu": _ratio(fastest, tree, "cpu_s"),
        "ratio_trl_cpu_is_bound": not fastest["finished"],
        "ratio_trl_cpu_of_leanest_tree": _ratio(fastest, lean, "cpu_s"),
        "ratio_pairwise_cpu": _ratio(pairwise, tree, "cpu_s"),
        "ratio_pairwise_cpu_is_bound": not pairwise["finished"],
        "ratio_trl_memory": _ratio(leanest, lean, "grown_mb"),
        "ratio_trl_memory_of_fastest_tree": _ratio(leanest, tree, "grown_mb"),
        "ratio_trl_memory_is_bound": not leanest["finished"],
        "ratio_tokens": None if tokens is None else round(tokens / tree["tokens"], 2),
    }


def _pair_tokens(rows: dict[str, Row]) -> int | None:
    return next((r["tokens"] for a, r in rows.items() if a in TRL and "tokens" in r), None)


def _ratio(other: Row, tree: Row, key: str) -> float:
    return round(float(other[key]) / float(tree[key]), 2)


def write_page(found: dict[str, Ratios], page: Path = PAGE) -> None:
    """Puts the ratios between the page's marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{as_table(found)}\n{END}{after}")


def as_table(found: dict[str, Ratios]) -> str:
    """The ratios of some cases in Markdown; "≥" where the other one was stopped."""
    columns = {
        "CPU time, TRL": "ratio_trl_cpu",
        "CPU time, whole sequences": "ratio_pairwise_cpu",
        "memory, leanest TRL": "ratio_trl_memory",
        "tokens, TRL": "ratio_tokens",
    }
    lines = [("case", *columns), tuple("---" for _ in range(len(columns) + 1))]
    for name, ratios in found.items():
        lines.append((name, *(_shown(ratios, key) for key in columns.values())))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(ratios: Ratios, key: str) -> str:
    if ratios[key] is None:
        return "–"
    return ("≥ " if ratios.get(f"{key}_is_bound") else "") + format(ratios[key], ".1f")


def recorded(results: Path = RESULTS) -> dict[str, Ratios]:
    """The ratios of the cases that have been measured, TRL's leanest setting included."""
    found = {}
    for name in FULL:
        files = sorted((results / name).glob("*.json"))
        rows = {file.stem: json.loads(file.read_text()) for file in files}
        if {*OURS, TRL[0]} <= rows.keys():
            found[name] = ratios_of(rows)
    return found


def print_case(name: str, rows: dict[str, Row], ratios: Row) -> None:
    """A table of a case, and its headlines."""
    print(f"\n{name}   ({rows['tree']['machine']}, load {rows['tree']['load']})")
    print(f"{'arm':<12}{'CPU s':>10}{'grown MB':>10}{'peak MB':>10}{'tokens':>10}")
    for arm, row in rows.items():
        stopped = "" if row["finished"] else "≥"
        print(
            f"{arm:<12}{stopped + format(row['cpu_s'], '.1f'):>10}"
            f"{stopped + format(row['grown_mb'], '.0f'):>10}{row['peak_mb']:>10.0f}"
            f"{row.get('tokens', '–'):>10}"
        )
    least = "at least " if ratios["ratio_trl_cpu_is_bound"] else ""
    print(f"CPU time against TRL: {least}{ratios['ratio_trl_cpu']} times less")
    least = "at least " if ratios["ratio_pairwise_cpu_is_bound"] else ""
    print(f"CPU time against whole sequences: {least}{ratios['ratio_pairwise_cpu']} times less")
    least = "at least " if ratios["ratio_trl_memory_is_bound"] else ""
    print(
        f"memory, the leanest setting of both: {least}{ratios['ratio_trl_memory']} times less; "
        f"that setting takes {ratios['ratio_trl_cpu_of_leanest_tree']} times less CPU time than "
        f"TRL's fastest, and trees' fastest {ratios['ratio_trl_memory_of_fastest_tree']} times "
        "less memory than TRL's leanest"
    )
    if ratios["ratio_tokens"]:
        share = ratios["ratio_trl_cpu"] / ratios["ratio_tokens"]
        print(f"tokens: {ratios['ratio_tokens']} times fewer; time ratio / token ratio {share:.2f}")


if __name__ == "__main__":
    main()
