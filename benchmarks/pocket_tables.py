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
        "limits": limits(results),
        "kinds": kinds(results),
        "copying": copying(results),
        "verifier": verifier(results),
        "errors": errors(results),
        "places": places(results),
        "accuracy": accuracy(results),
        "picture": picture(results),
    }


def write_page(results: Results, settings: Sequence[Mapping[str, Any]], page: Path = PAGE) -> None:
    """Writes the page: its text, with the tables where ``<!-- table NAME -->`` stands.

    Args:
        results: What `pocket_gain.py` found.
        settings: What `pocket_sweep.py` found.
        page: The file.

    Raises:
        KeyError: The text asks for a table that there is none of.
    """
    made = {**tables(results), "sweep": sweep(settings), "headline": headline(results)}
    page.write_text(re.sub(r"<!-- table (\w+) -->", lambda mark: made[mark[1]], TEXT.read_text()))


def headline(results: Results) -> str:
    """The sentence that the README quotes."""
    before, after = (_by_task(results, arm) for arm in ("round 0", "round 1"))
    last = _last_round(results)
    end = _by_task(results, last)
    seeds = len(results["seeds"])
    return (
        f"Over {seeds} seed{'s' * (seeds > 1)} on the same {len(before)} test tasks, "
        f"AnsAcc rises from {_percent(before)} % to {_percent(after)} % in one round and "
        f"{_percent(end)} % after {last[6:]}; with random verdicts in place of the verifier's it "
        f"comes to {_percent(_by_task(results, 'random'))} %, by imitation of the chosen actions "
        f"alone to {_percent(_by_task(results, 'sft'))} %. {_over_imitation(results)}"
    )


def _over_imitation(results: Results) -> str:
    """What preferences add to imitation, said as plainly where it is nothing."""
    added = change(results, "sft", "round 1")
    what = "add" if added.lo > 0 else "cost" if added.hi < 0 else "add nothing measurable:"
    return (
        f"Preferences after imitation {what} {added.diff:+.1f} points "
        f"[{added.lo:+.1f}, {added.hi:+.1f}]."
    )


def sweep(settings: Sequence[Mapping[str, Any]]) -> str:
    """What each setting comes to on the development tasks, the best first."""
    lines = []
    for row in sorted(settings, key=lambda r: -float(r["ans_acc"])):
        tool, code = (f"{100 * row[key]:.1f}" for key in ("tool_acc", "code_exec"))
        lines.append((row["name"], _share(row["ans_acc"], row["ans_acc_ci"]), tool, code))
    return _table(("setting", "AnsAcc, %", "ToolAcc, %", "CodeExec, %"), lines)


def arms(results: Results) -> str:
    """AnsAcc of each arm, the mean of the seeds, and its gain over the start."""
    lines = []
    for arm in arm_names(results):
        if "picture" in arm:
            continue
        right = _by_task(results, arm)
        share, interval = sum(right) / len(right), wilson(sum(right), len(right))
        tool, code = (_mean(results, arm, key) for key in ("tool_acc", "code_exec"))
        gains = _difference(results, "round 0", arm) if arm != "round 0" else ""
        lines.append((arm, str(len(right)), _share(share, interval), tool, code, gains))
    head = ("arm", "tasks", "AnsAcc, %", "ToolAcc, %", "CodeExec, %", "AnsAcc over round 0, points")
    return _table(head, lines)


def comparisons(results: Results) -> str:
    """The default recipe against the arms that matter, paired over the tasks."""
    ours, others = "round 1", ("sft", "dpo", "random", "shuffled")
    pairs = [*((other, ours) for other in others), (ours, "oracle")]
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


def limits(results: Results) -> str:
    """What a round still finds to learn from: choices, verdicts, different actions."""
    lines = []
    for number in results["seeds"][0]["verifier"]:
        found = [s["verifier"][number] for s in results["seeds"]]
        agreed = _sum([f["overall"] for f in found])
        steps, judged, candidates, pairs = (
            sum(f[key] for f in found) for key in ("steps", "judged", "candidates", "pairs")
        )
        equal = sum(f["dropped"].get("equal", 0) for f in found)
        shares = (1 - judged / steps, equal / candidates, pairs / candidates)
        oracle = (agreed["choices"] / steps, agreed["hopeless"] / steps)
        right = _of(agreed["right"], agreed["right"] + agreed["wrong"])
        lines.append((number, str(steps), *(f"{100 * x:.1f}" for x in (*shares, *oracle)), right))
    head = (
        "round", "steps", "without verdict, % of steps", "equal to the best, % of candidates",
        "in pairs, % of candidates", "some right, some not, % of steps", "none right, % of steps",
        "right where there is a choice, %",
    )  # fmt: skip
    return _table(head, lines)


def kinds(results: Results) -> str:
    """AnsAcc by kind of task, in the arms that tell where the headroom lies; mean of the seeds."""
    last = _last_round(results)
    arms = [a for a in ("round 0", "round 1", last, "oracle") if a in arm_names(results)]
    names = sorted(results["seeds"][0]["arms"]["round 0"]["by_kind"])
    lines = []
    for kind in names:
        found = ([s["arms"][a]["by_kind"][kind] for s in results["seeds"]] for a in arms)
        shares = (100 * sum(f["ans_acc"] for f in fs) / len(fs) for fs in found)
        n = results["seeds"][0]["arms"]["round 0"]["by_kind"][kind]["n"]
        lines.append((kind, str(n), *(f"{x:.1f}" for x in shares)))
    return _table(("kind", "tasks", *(f"{a}, %" for a in arms)), lines)


def copying(results: Results) -> str:
    """How many failures come of a name that was copied wrongly, in arms and kinds; all seeds."""
    last = _last_round(results)
    lines = []
    for arm in (a for a in ("round 1", last, "oracle") if a in arm_names(results)):
        found = [s["arms"][arm]["copying"] for s in results["seeds"]]
        for kind in sorted({k for f in found for k in f}):
            total = _sum([f[kind] for f in found if kind in f])
            lines.append((arm, kind, str(total["failed"]), str(total["miscopied"])))
    return _table(("arm", "kind", "wrong answers", "of these, shop not in the code"), lines)


def verifier(results: Results) -> str:
    """The rubric against the oracle, where a step offers a choice; first round, all seeds."""
    found = _first(results)
    by_kind = {k: [f["by_kind"][k] for f in found if k in f["by_kind"]] for k in _keys(found)}
    lines = []
    for kind, agreed in {"all": [f["overall"] for f in found], **by_kind}.items():
        total = _sum(agreed)
        judged = total["right"] + total["wrong"]
        chance = f"{100 * total['chance'] / total['choices']:.1f}" if total["choices"] else "–"
        counts = (str(total[k]) for k in ("choices", "wrong", "abstained", "hopeless"))
        lines.append((kind, *counts, _of(total["right"], judged), chance))
    head = ("kind", "choices", "wrong", "abstained", "no right candidate", "right, %", "by lot, %")
    return _table(head, lines)


def errors(results: Results) -> str:
    """Which errors the rubric names best although a candidate without one stands beside them."""
    found = _first(results)
    names = list(dict.fromkeys(e for f in found for e in f["by_error"]))
    lines = []
    for name in names:
        total = _sum([f["by_error"][name] for f in found if name in f["by_error"]])
        lines.append((name, str(total["met"]), _of(total["named"], total["met"])))
    return _table(("what is wrong with the candidate", "choices", "named best, %"), lines)


def places(results: Results) -> str:
    """How often each place in the order shown was named best: a verifier that looks has no bias."""
    shown = zip(*(f["places"] for f in _first(results)), strict=True)
    totals = [_sum(list(place)) for place in shown]
    lines = [(str(i), _of(t["won"], t["shown"])) for i, t in enumerate(totals, 1)]
    return _table(("place", "named best, %"), lines)


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
        seeds = len(results["seeds"])
        n = sum(f["n"] for f in figures) // seeds
        right = sum(f["n"] * f["first_tool"] for f in figures) / seeds
        name = arm.partition(", ")[2] or "picture as it is"
        lines.append((name, str(n), _share(right / n, wilson(right, n))))
    return _table(("picture", "tasks", "first tool right, %"), lines)


def arm_names(results: Results) -> list[str]:
    """The arms, in the order in which they were measured."""
    return list(results["seeds"][0]["arms"])


def _last_round(results: Results) -> str:
    return [a for a in arm_names(results) if re.fullmatch(r"round \d+", a)][-1]


def _first(results: Results) -> list[dict[str, Any]]:
    """What is known of the verifier in the first round, by seed."""
    return [s["verifier"]["1"] for s in results["seeds"]]


def _keys(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({kind for f in found for kind in f["by_kind"]})


def _sum(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: sum(f[key] for f in found) for key in found[0]}


def _of(count: int, n: int) -> str:
    return _share(count / n, wilson(count, n)) if n else "–"


def _by_task(results: Results, arm: str) -> list[float]:
    """How often each test task was answered right, over the seeds, which all have the same tasks.

    Three seeds are not three times as many tasks: intervals are drawn over these.
    """
    seeds = [[int(c) for c in s["arms"][arm]["right"]] for s in results["seeds"]]
    return [sum(task) / len(task) for task in zip(*seeds, strict=True)]


def _percent(right: Sequence[float]) -> str:
    return f"{100 * sum(right) / len(right):.1f}"


def _mean(results: Results, arm: str, key: str) -> str:
    values = [s["arms"][arm][key] for s in results["seeds"]]
    return f"{100 * sum(values) / len(values):.1f}"


def change(results: Results, before: str, after: str) -> Difference:
    """AnsAcc of one arm less that of another, in points, paired over the tasks."""
    found = paired_bootstrap(_by_task(results, before), _by_task(results, after))
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
