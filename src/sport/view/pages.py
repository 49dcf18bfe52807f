"""The pages, whatever they are written to: each takes a site and what it shows, and gives HTML."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sport.evals.table import groups, percent
from sport.view.book import Book, Entry
from sport.view.comparison import SHOWS, Comparison
from sport.view.overview import single_samples
from sport.view.places import title_of
from sport.view.search import FLAGS, Filter, choices, find, neighbours
from sport.view.site import Site, render
from sport.view.status import Status, status_of
from sport.view.steps import step_views
from sport.view.tasks import names


@dataclass(frozen=True)
class Line:
    """A run in the list of runs."""

    slug: str
    status: Status
    round: int
    rounds: int
    tasks: int
    pairs: int
    before: str
    now: str
    cost: float
    seconds: float


def runs_page(site: Site, book: Book) -> str:
    """All runs."""
    lines, broken = [], [(path.name, why) for path, why in sorted(book.unreadable.items())]
    for entry in book.entries:
        try:
            lines.append(_line(entry))
        except Exception as error:  # one run must not hide the others
            broken.append((entry.slug, f"{type(error).__name__}: {error}"))
    return render("runs.html", site, lines=lines, broken=broken)


def _line(entry: Entry) -> Line:
    run = entry.run
    digests = entry.index.digests()
    usage = list(run.usage().values())
    method = single_samples(next(iter(groups(run.metrics()).values()), []))
    now = max(run.rounds(), default=0)
    return Line(
        slug=entry.slug,
        status=status_of(run),
        round=now,
        rounds=max(run.recipe.rounds, now),
        tasks=sum(d.funnel.tasks for d in digests.values()),
        pairs=sum(d.funnel.pairs for d in digests.values()),
        before=_answers(method[:1]),
        now=_answers(method[-1:]),
        cost=sum(u.cost for u in usage),
        seconds=sum(u.seconds for u in usage),
    )


def _answers(rows: list[Any]) -> str:
    return percent(rows[0]["ans_acc"], rows[0]["ans_acc_ci"]) if rows else "–"


def run_page(site: Site, entry: Entry, template: str = "run.html") -> str:
    """A run; or, of it, the part that changes with its figures."""
    return render(
        template,
        site,
        run=entry.run,
        slug=entry.slug,
        over=entry.overview(),
        state=entry.state(),
        status=status_of(entry.run),
        entry=entry,
        tasks=bool(names(entry.run)),
        synthesis=(),
        wrong_of=lambda place: Filter(place=place, flag="wrong"),
    )


def status_part(site: Site, entry: Entry) -> str:
    """The line that says where a run stands."""
    return render("_status.html", site, status=status_of(entry.run), entry=entry)


def list_page(site: Site, entry: Entry, wanted: Filter, first: int, limit: int) -> str:
    """Trajectories that a filter finds."""
    found = find(entry.index, wanted, first, limit)
    after = first + limit
    return render(
        "list.html",
        site,
        slug=entry.slug,
        wanted=wanted,
        found=found,
        choices=choices(entry.index),
        flags=FLAGS,
        reading=entry.reading,
        before=site.listing(entry.slug, wanted, max(0, first - limit)) if first else None,
        after=site.listing(entry.slug, wanted, after) if after < found.total else None,
    )


def trajectory_page(site: Site, entry: Entry, key: str, wanted: Filter) -> str:
    """One trajectory.

    Raises:
        KeyError: There is none of that key.
        StoreError: Its file was rewritten a moment ago.
    """
    row = entry.index.row(key)
    found = entry.index.read(row)
    before, after = neighbours(entry.index, wanted, key)
    with entry.index.connect() as db:
        same = db.execute(
            "SELECT key, place FROM trajectory WHERE task = ? AND key != ? ORDER BY id LIMIT 12",
            (row["task"], key),
        ).fetchall()
    return render(
        "trajectory.html",
        site,
        slug=entry.slug,
        wanted=wanted,
        found=found,
        views=step_views(found, entry.run.recipe.pairs),
        place=title_of(row["place"]),
        right=None if row["correct"] is None else bool(row["correct"]),
        gold=None if row["gold"] is None else json.loads(row["gold"]),
        before=before,
        after=after,
        others=[(r["key"], title_of(r["place"])) for r in same],
    )


def compare_page(
    site: Site,
    entry: Entry,
    comparison: Comparison,
    show: str = "changed",
    task: str = "",
    limit: int = 200,
) -> str:
    """Two sets of trajectories on the same tasks; or, with ``task``, one task in both."""
    found = comparison.rows(show)
    page = _Links(site, entry, comparison, show)
    every = [name for name, _ in found]
    at = every.index(task) if task in every else None
    return render(
        "compare.html",
        site,
        slug=entry.slug,
        sides=[(s.name, s.title) for s in comparison.sides],
        before=comparison.before,
        after=comparison.after,
        show=show,
        shows=SHOWS,
        total=comparison.total,
        counts=comparison.counts,
        shown=len(found),
        rows=[
            {
                "query": a["query"],
                "kind": a["kind"],
                "address": page.of(name),
                "sides": [_answer(a), _answer(b)],
            }
            for name, (a, b) in found[:limit]
        ],
        pair=comparison.pair(task) if task else None,
        previous=page.of(every[at - 1]) if at else "",
        next=page.of(every[at + 1]) if at is not None and at + 1 < len(every) else "",
    )


def _answer(row: Any) -> tuple[str, bool | None]:
    right = None if row["correct"] is None else bool(row["correct"])
    return (row["answer"] if row["ending"] == "finished" else row["ending"]), right


@dataclass(frozen=True)
class _Links:
    site: Site
    entry: Entry
    comparison: Comparison
    show: str

    def of(self, task: str) -> str:
        sides = {"before": self.comparison.before.name, "after": self.comparison.after.name}
        return self.site.comparison(self.entry.slug, {**sides, "show": self.show, "task": task})
