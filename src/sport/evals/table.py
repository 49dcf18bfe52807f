"""Rows of ``metrics.jsonl`` as people read them: labels, percentages, the terminal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sport.evals.statistics import wilson

Row = Mapping[str, Any]

METRICS = (("ans_acc", "AnsAcc"), ("tool_acc", "ToolAcc"), ("code_exec", "CodeExec"))
"""Keys of the metrics in a row, and their names."""

_CONTROLS = {
    "random": "random verdicts",
    "shuffled": "shuffled verdicts",
    "sft": "supervised",
    "oracle": "oracle verdicts",
}


def label(row: Row) -> str:
    """What a row measures: ``round 1``, ``round 1 · random verdicts``, ….

    Best-of-n figures say so: they are never mixed with single-sample ones (D6).
    """
    parts = [f"round {row['round']}"]
    if row["control"]:
        kind, _, number = row["control"].partition("-")
        parts.append(" ".join(filter(None, (_CONTROLS.get(kind, kind), number))))
    if row["samples"] > 1:
        parts.append(f"best of {row['samples']} by {row['verifier']}")
    return " · ".join(parts)


def groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows by (benchmark, split); what counts most first, each in the order of rounds."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted((r for r in rows if not r.get("probe")), key=_order):
        found.setdefault((row["benchmark"], row["split"]), []).append(row)
    return found


def _order(row: Row) -> tuple[bool, str, str, int, str, int]:
    # Development figures chose the hyper-parameters: they come last.
    split, control = row["split"], row["control"] or ""
    return (split == "dev", row["benchmark"], split, row["round"], control, row["samples"])


def percent(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A fraction as ``60.3`` or ``60.3 [52.4,67.6]``; a dash where there is none."""
    if value is None:
        return "–"
    ends = f" [{interval[0] * 100:.1f},{interval[1] * 100:.1f}]" if interval else ""
    return f"{value * 100:.1f}{ends}"


def change(row: Row, metric: str) -> str:
    """The paired gain over round 0 in points, ``+15.0 [+9.2,+20.8]``; empty where there is none."""
    gain = (row.get("gain") or {}).get(metric)
    if not gain:
        return ""
    return f"{gain['diff'] * 100:+.1f} [{gain['lo'] * 100:+.1f},{gain['hi'] * 100:+.1f}]"


def picture_use(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """How often the first tool is the right one in the kinds that probes change the pictures of.

    Args:
        rows: Rows of ``metrics.jsonl``.

    Returns:
        A line a sort of picture: what the picture is, the share in per cent with its Wilson
        interval, the number of tasks. Empty where the probes were not run.
    """
    probed = [r for r in rows if r.get("probe")]
    if not probed:
        return []
    last = max(r["round"] for r in probed)
    probed = [r for r in probed if r["round"] == last]
    single = [r for r in rows if r["round"] == last and not r["control"] and r["samples"] == 1]
    plain = [r for r in single if r["split"] == "test"]
    kinds = sorted({kind for r in probed for kind in r["by_kind"]})
    named = [("as it is", r) for r in plain] + [(r["probe"], r) for r in probed]
    return [(name, *_first_tool(row, kinds)) for name, row in named]


def _first_tool(row: Row, kinds: Sequence[str]) -> tuple[str, int]:
    figures = [row["by_kind"][k] for k in kinds if k in row["by_kind"]]
    n = sum(f["n"] for f in figures)
    right = round(sum(f["n"] * f["first_tool"] for f in figures))
    return percent(right / n if n else None, wilson(right, n)), n


def preference(row: Row) -> str:
    """The blind preference over round 0, where a verifier was asked; empty where none was."""
    asked = row.get("preference")
    if not asked:
        return ""
    decided = asked["wins"] + asked["losses"]
    share = percent(asked["share"], (asked["lo"], asked["hi"]))
    return f"{share} of {decided} ({asked['ties']} ties, {asked['undecided']} undecided)"


def terminal_table(rows: Sequence[Row]) -> Table:
    """The table that a run ends with.

    Args:
        rows: Rows of ``metrics.jsonl``.

    Returns:
        A table: one section a split, one line a round or control, in per cent with 95 % intervals.
    """
    table = Table(
        title="Per cent, with 95 % intervals", title_justify="left", pad_edge=False, box=SIMPLE_HEAD
    )
    titles = [" · ".join(group) for group in groups(rows)]
    table.add_column("", min_width=max(map(len, titles), default=0))
    table.add_column("tasks", justify="right")
    for _, name in METRICS:
        table.add_column(name, justify="right")
    table.add_column("AnsAcc gain", justify="right")
    judged = any(preference(row) for row in rows)
    if judged:
        table.add_column("preferred (verifier-judged)", justify="right")
    for (benchmark, split), found in groups(rows).items():
        table.add_section()
        table.add_row(Text(f"{benchmark} · {split}", style="bold"))
        for row in found:
            cells = [percent(row[key], row.get(f"{key}_ci")) for key, _ in METRICS]
            last = [preference(row)] if judged else []
            table.add_row(
                Text(label(row), style="dim" if row["control"] else ""),
                str(row["n"]), *cells, change(row, "ans_acc"), *last,
            )  # fmt: skip
    return table
