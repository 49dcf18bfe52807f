"""The tables of `docs/evidence.md`, made from the results of `pocket_gain.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sport.evals.statistics import Difference, paired_bootstrap, wilson

Results = Mapping[str, Any]
Line = tuple[str, ...]
PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
TEXT = Path(__file__).parent / "pocket_evidence.md"


def tables(results: Results) -> dict[str, str]:
    """All tables, in Markdown, by title."""
    return {
        "arms": arms(results),
        "comparisons": comparisons(results),
        "rounds": rounds(results),
        "verifier": verifier(results),
        "accuracy": accuracy(results),
        "picture": picture(results),
    }


def write_page(results: Results, page: Path = PAGE) -> None:
    """Writes the page: its text, with the tables where ``<!-- table NAME -->`` stands.

    Raises:
        KeyError: The text asks for a table that there is none of.
    """
    made = tables(results)
    page.write_text(re.sub(r"<!-- table (\w+) -->", lambda mark: made[mark[1]], TEXT.read_text()))


def arms(results: Results) -> str:
    """AnsAcc of each arm, pooled over the seeds, and its gain over the start in every seed."""
    lines = []
    for arm in arm_names(results):
        if "picture" in arm:
            continue
        right = _right(results, arm)
        share, interval = sum(right) / len(right), wilson(sum(right), len(right))
        tool, code = (_mean(results, arm, key) for key in ("tool_acc", "code_exec"))
        gains = _difference(results, "round 0", arm) if arm != "round 0" else ""
        lines.append((arm, str(len(right)), _share(share, interval), tool, code, gains))
    head = ("arm", "tasks", "AnsAcc, %", "ToolAcc, %", "CodeExec, %", "AnsAcc over round 0, points")
    return _table(head, lines)


def comparisons(results: Results) -> str:
    """The default recipe against the arms that matter, paired over all tasks of all seeds."""
    pairs = [("sft", "round 1"), ("dpo", "round 1"), ("random", "round 1"), ("round 1", "oracle")]
    known = [(a, b) for a, b in pairs if {a, b} <= set(arm_names(results))]
    lines = [(f"{b} − {a}", _difference(results, a, b), _by_seed(results, a, b)) for a, b in known]
    return _table(("difference", "points [95 %]", "seed by seed"), lines)


def rounds(results: Results) -> str:
    """What each round adds to the one before."""
    numbers = [a for a in arm_names(results) if a.startswith("round ") and a[6:].isdigit()]
    lines = []
    for before, after in zip(numbers, numbers[1:], strict=False):
        pairs = [str(s["verifier"][after[6:]]["pairs"]) for s in results["seeds"]]
        change = _difference(results, before, after)
        lines.append((after, change, _by_seed(results, before, after), ", ".join(pairs)))
    return _table(("round", "over the round before, points", "seed by seed", "pairs"), lines)


def verifier(results: Results) -> str:
    """The rubric against the oracle, where a step offers a choice; first round, all seeds."""
    kinds = sorted({k for s in results["seeds"] for k in s["verifier"]["1"]["by_kind"]})
    lines = []
    for kind in ("all", *kinds):
        found = [
            s["verifier"]["1"]["overall"] if kind == "all" else s["verifier"]["1"]["by_kind"][kind]
            for s in results["seeds"]
            if kind == "all" or kind in s["verifier"]["1"]["by_kind"]
        ]
        total = {key: sum(a[key] for a in found) for key in found[0]}
        right, judged = total["right"], total["right"] + total["wrong"]
        share = _share(right / judged, wilson(right, judged)) if judged else "–"
        chance = f"{100 * total['chance'] / total['choices']:.1f}" if total["choices"] else "–"
        counts = (str(total[k]) for k in ("choices", "wrong", "abstained", "hopeless"))
        lines.append((kind, *counts, share, chance))
    head = ("kind", "choices", "wrong", "abstained", "no right candidate", "right, %", "by lot, %")
    return _table(head, lines)


def accuracy(results: Results) -> str:
    """The gain of round 1 by how often the verdicts are right."""
    levels = [("random", "by lot"), *((f"oracle-{n}", f"{n} %") for n in (60, 70, 80, 90))]
    levels += [("oracle", "100 %"), ("round 1", "the rubric")]
    known = [(arm, name) for arm, name in levels if arm in arm_names(results)]
    lines = [
        (name, _difference(results, "round 0", arm), _by_seed(results, "round 0", arm))
        for arm, name in known
    ]
    return _table(("verdicts right", "AnsAcc over round 0, points", "seed by seed"), lines)


def picture(results: Results) -> str:
    """First tool right in the kinds where only the picture tells which it is."""
    probes = [a for a in arm_names(results) if a.endswith(" picture")]
    kinds = sorted({k for s in results["seeds"] for a in probes for k in s["arms"][a]["by_kind"]})
    lines = []
    for arm in dict.fromkeys([*(p.partition(",")[0] for p in probes), *probes]):
        figures = [
            s["arms"][arm]["by_kind"][k]
            for s in results["seeds"]
            for k in kinds
            if k in s["arms"][arm]["by_kind"]
        ]
        n = sum(f["n"] for f in figures)
        right = round(sum(f["n"] * f["first_tool"] for f in figures))
        name = arm.partition(", ")[2] or "picture as it is"
        lines.append((name, str(n), _share(right / n, wilson(right, n))))
    return _table(("picture", "tasks", "first tool right, %"), lines)


def arm_names(results: Results) -> list[str]:
    """The arms, in the order in which they were measured."""
    return list(results["seeds"][0]["arms"])


def _right(results: Results, arm: str) -> list[int]:
    return [int(c) for s in results["seeds"] for c in s["arms"][arm]["right"]]


def _mean(results: Results, arm: str, key: str) -> str:
    values = [s["arms"][arm][key] for s in results["seeds"]]
    return f"{100 * sum(values) / len(values):.1f}"


def change(results: Results, before: str, after: str) -> Difference:
    """AnsAcc of one arm less that of another, in points, paired over all tasks of all seeds."""
    found = paired_bootstrap(_right(results, before), _right(results, after))
    return Difference(*(100 * x for x in found))


def _difference(results: Results, before: str, after: str) -> str:
    found = change(results, before, after)
    return f"{found.diff:+.1f} [{found.lo:+.1f}, {found.hi:+.1f}]"


def _by_seed(results: Results, before: str, after: str) -> str:
    shares = ((s["arms"][before]["ans_acc"], s["arms"][after]["ans_acc"]) for s in results["seeds"])
    return ", ".join(f"{100 * (b - a):+.1f}" for a, b in shares)


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{100 * share:.1f} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _table(head: Line, lines: Sequence[Line]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
