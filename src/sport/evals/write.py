"""The paper's table with measured rows, written as Markdown, as CSV and as a page with a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sport.evals.compare import (
    COLUMNS,
    Difference,
    Evaluation,
    Line,
    differences,
    lines,
    published_lines,
    wrong_items,
)
from sport.evals.plot import plot_svg
from sport.evals.reasons import REASONS
from sport.evals.table import METRICS
from sport.jsonl import write_whole

_SHOWN = 20
_PAPER = ("gta", "gaia")

NOTES = (
    "Figures are per cent. Measured rows have 95 % intervals: Wilson's for shares of items, "
    "bootstrap over items for ToolAcc and CodeExec. Published rows are printed as they were "
    "published; a few do not reduce to k/n.",
    "A row is a single greedy sample a step unless it says “best of n”.",
    "ToolAcc is matched tools / the longer of the called and the gold chain, in order; the paper's "
    "own rule is not published.",
)


def tables(found: Sequence[Evaluation]) -> dict[str, list[Line]]:
    """The tables: the paper's where a run is on GTA or GAIA, and the pocket world's."""
    made = {}
    if any(e.row["benchmark"] in _PAPER for e in found):
        made["The paper's table: GTA and GAIA"] = [*published_lines(), *lines(found, _PAPER)]
    for benchmark in dict.fromkeys(e.row["benchmark"] for e in found):
        if benchmark not in _PAPER:
            made[benchmark] = lines(found, (benchmark,))
    return made


def write_tables(found: Sequence[Evaluation], out: Path) -> list[Path]:
    """Writes ``table.md``, ``table.csv`` and ``table.html`` into a folder; returns their paths."""
    texts = {
        "table.md": "\n".join(markdown(found)) + "\n",
        "table.csv": csv_text(found),
        "table.html": html(found),
    }
    for name, text in texts.items():
        write_whole(out / name, text)
    return [out / name for name in texts]


def columns(rows: Sequence[Line]) -> dict[str, str]:
    """The columns that a table needs."""
    return {k: title for k, title in COLUMNS.items() if any(k in row.cells for row in rows)}


def markdown(found: Sequence[Evaluation]) -> Iterator[str]:
    """The tables, the paired differences and the wrong answers, as lines of Markdown."""
    for title, rows in tables(found).items():
        heads = columns(rows)
        yield f"## {title}\n"
        yield _md(["", "agent", "controller", *heads.values()])
        yield _md(["---"] * (3 + len(heads)))
        for row in rows:
            way = f" ({row.way})" if row.way else ""
            cells = [row.cells[k].text() if k in row.cells else "" for k in heads]
            yield _md([row.source, f"{row.agent}{way}", row.controller, *cells])
        yield ""
    paired = differences(found)
    if paired:
        yield "## Paired differences\n"
        yield _md(["after", "before", "metric", "items", "difference", "McNemar p"])
        yield _md(["---"] * 6)
        for difference in paired:
            for name, *cells in gain_rows(difference):
                titles = [difference.after.title, difference.before.title]
                yield _md([*titles, name, *cells])
        yield ""
    yield from _wrong(found)
    yield from (f"- {note}" for note in NOTES)


def gain_rows(difference: Difference) -> list[list[str]]:
    """Metric, items, difference in points with its interval, and p; one row a metric."""
    names = dict(METRICS)
    return [
        [
            names[key],
            str(gain.n),
            f"{gain.diff * 100:+.2f} [{gain.lo * 100:+.2f}, {gain.hi * 100:+.2f}]",
            "" if gain.p is None else f"{gain.p:.3g}",
        ]
        for key, gain in difference.gains.items()
    ]


def _wrong(found: Sequence[Evaluation]) -> Iterator[str]:
    for evaluation in found:
        items = wrong_items(evaluation)
        if not items:
            continue
        yield f"## Wrong answers: {_plain(evaluation.title)}\n"
        yield _md(["reason", "items", "which", "what it means"])
        yield _md(["---"] * 4)
        for reason, ids in items.items():
            yield _md([reason, str(len(ids)), shortened(ids), REASONS[reason]])
        yield ""


def shortened(ids: Sequence[str]) -> str:
    """The first of many ids."""
    more = f", … {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def csv_text(found: Sequence[Evaluation]) -> str:
    """One line a figure: easy to read by programs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = ("table", "source", "agent", "controller", "way", "column")
    writer.writerow([*head, "printed", "percent", "lo", "hi", "right", "n"])
    for title, rows in tables(found).items():
        for row in rows:
            for key, cell in row.cells.items():
                ends = [f"{e * 100:.2f}" for e in cell.interval] if cell.interval else ["", ""]
                value = "" if cell.value is None else f"{cell.value * 100:.2f}"
                names = (title, row.source, row.agent, row.controller, row.way, COLUMNS[key])
                tail = ("" if cell.right is None else cell.right, "" if cell.n is None else cell.n)
                writer.writerow([*map(_inert, names), cell.printed, value, *ends, *tail])
    return buffer.getvalue()


def html(found: Sequence[Evaluation]) -> str:
    """One page that loads nothing; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("sport.evals"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made = tables(found)
    return environment.get_template("table.html").render(
        tables={t: (columns(rows), rows, Markup(plot_svg(rows))) for t, rows in made.items()},
        paired=[(d, gain_rows(d)) for d in differences(found)],
        wrong=[(e, items) for e in found if (items := wrong_items(e))],
        reasons=REASONS,
        shortened=shortened,
        notes=NOTES,
    )


def _md(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text that can neither end a cell nor begin a tag or a link."""
    flat = " ".join(text.split())
    for sign in "\\|<":
        flat = flat.replace(sign, f"\\{sign}")
    return flat.replace("](", "]\\(")


def _inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
