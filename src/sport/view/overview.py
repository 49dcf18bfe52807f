"""Everything that the page of a run says, gathered from its index and its small files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sport.evals.curve import curve_svg
from sport.evals.examples import Contrast, Failure, contrasts, failures
from sport.evals.table import METRICS, Row, change, groups, label, percent, picture_use
from sport.remote.ledger import Account, Usage, of_models
from sport.store import Run
from sport.types import Task, Trajectory
from sport.view.charts import Tuning, tunings
from sport.view.digest import Digest
from sport.view.index import Index

_LOOKED_AT = 200  # trajectories of a round from which examples are taken


@dataclass
class Round:
    """What is said of one round of exploring."""

    number: int
    digest: Digest
    pairs: dict[str, Any] | None = None
    examples: list[Contrast] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)


@dataclass
class Endings:
    """How the last evaluation went wrong.

    A row is (kind, tasks, wrong answers, trajectories that did not finish, failed steps).
    """

    title: str
    place: str
    rows: list[tuple[str, int, int, int, int]]
    examples: list[Failure]


@dataclass
class Overview:
    """What the page of a run says; see the template for what each part means."""

    rows: list[dict[str, Any]]
    sections: dict[tuple[str, str], list[Row]]
    main: list[Row]
    tiles: list[dict[str, Any]]
    curve: str
    rounds: list[Round]
    endings: Endings | None
    usage: list[tuple[Account, Usage]]
    stages: list[tuple[str, int, Usage]]
    tunings: list[Tuning]
    picture_use: list[tuple[str, str, int]]

    @property
    def tiers(self) -> list[str]:
        """What the sandbox promised."""
        return sorted({tier for r in self.rounds for tier in r.digest.funnel.tier})

    @property
    def kinds(self) -> list[str]:
        """Kinds of tasks that were measured."""
        return sorted({kind for row in self.main for kind in row["by_kind"]})

    @property
    def tools(self) -> list[str]:
        """Tools that were called, the most frequent first."""
        total = sum((r.digest.tools for r in self.rounds), Counter[str]())
        return [name for name, _ in total.most_common()]


def overview(run: Run, index: Index) -> Overview:
    """Gathers what the page of a run says.

    Args:
        run: The run; it is only read.
        index: Its index, brought up to date.
    """
    rows = run.metrics()
    sections = groups(rows)
    main = next(iter(sections.values()), [])
    usage = run.usage()
    return Overview(
        rows=rows,
        sections=sections,
        main=main,
        tiles=_tiles(main),
        curve=curve_svg(main) if main else "",
        rounds=[_round(run, index, *pair) for pair in index.digests().items()],
        endings=_endings(run, index, main),
        usage=list(of_models(usage)),
        stages=_stages(usage),
        tunings=list(tunings(run.path)),
        picture_use=picture_use(rows),
    )


def single_samples(rows: Sequence[Row]) -> list[Row]:
    """The method's own rows, by round: no controls, one sample a step."""
    return [r for r in rows if not r["control"] and r["samples"] == 1]


def _tiles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The headline: each metric of the last round beside the first."""
    method = single_samples(rows)
    if not method:
        return []
    first, last = method[0], method[-1]
    return [
        {
            "name": name,
            "now": percent(last[key]),
            "ci": percent(last[key], last.get(f"{key}_ci")).partition(" ")[2],
            "before": percent(first[key]),
            "change": change(last, key),
        }
        for key, name in METRICS
        if last[key] is not None
    ]


def _stages(usage: dict[Account, Usage]) -> list[tuple[str, int, Usage]]:
    """What every stage of every round took, whatever it was spent on."""
    found: dict[tuple[str, int], Usage] = {}
    for account, counts in usage.items():
        found.setdefault((account.stage, account.round), Usage()).add(counts)
    return [(stage, round, counts) for (stage, round), counts in found.items()]


def _round(run: Run, index: Index, number: int, digest: Digest) -> Round:
    explored = _read(index, "place = ?", (f"explore-{number}",), _LOOKED_AT)
    return Round(
        number=number,
        digest=digest,
        pairs=run.pair_report(number),
        examples=contrasts(explored, run.recipe.pairs),
        kept=_kept(run, number),
    )


def _kept(run: Run, round: int) -> Counter[str]:
    """Trajectories that were kept or dropped as a whole, by reason; none where all are kept."""
    file = run.kept_file(round)
    if not file.exists():
        return Counter()
    from sport.keeping import opinions

    return Counter(
        opinion.reason if opinion.keep else f"dropped: {opinion.reason}"
        for opinion in opinions(file).values()
    )


def _endings(run: Run, index: Index, rows: Sequence[Row]) -> Endings | None:
    method = single_samples(rows)
    if not method:
        return None
    row = method[-1]
    place = f"eval-{row['round']}-{row['split']}"
    tasks = {task.id: task for task in run.tasks(row["split"])}
    with index.connect() as db:
        found = db.execute(
            "SELECT kind, count(*), sum(coalesce(correct = 0, 0)), sum(ending != 'finished'), "
            "sum(failed_steps) FROM trajectory WHERE place = ? GROUP BY kind ORDER BY kind",
            (place,),
        )
        counts = [(str(r[0]), int(r[1]), int(r[2]), int(r[3]), int(r[4])) for r in found]
    if sum(count for _, count, *_ in counts) != len(tasks):
        return None  # the evaluation is still being written
    return Endings(
        title=f"{row['split']}, {label(row)}",
        place=place,
        rows=counts,
        examples=failures(_wrong(index, place, tasks)),
    )


def _wrong(index: Index, place: str, tasks: dict[str, Task]) -> Iterator[tuple[Task, Trajectory]]:
    for trajectory in _read(index, "place = ? AND correct = 0", (place,), _LOOKED_AT):
        if trajectory.task.id in tasks:
            yield tasks[trajectory.task.id], trajectory


def _read(
    index: Index, condition: str, values: tuple[str, ...], limit: int
) -> Iterator[Trajectory]:
    """Trajectories of the index, one at a time."""
    with index.connect() as db:
        rows = db.execute(
            f"SELECT * FROM trajectory WHERE {condition} ORDER BY id LIMIT {limit}", values
        ).fetchall()
    return (index.read(row) for row in rows)
