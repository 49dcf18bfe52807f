"""The page of the tasks that a language model made, and the section that the report has of it."""

from __future__ import annotations

from typing import Any

from sport.store import Run
from sport.synthesis.drafts import KEPT
from sport.view.site import Site, render
from sport.view.tasks import SAMPLE, TaskFilter, attached, made, names, title_of


def tasks_page(site: Site, run: Run, slug: str, wanted: TaskFilter, limit: int = SAMPLE) -> str:
    """Figures of a round's tasks, and some of them or of its lost drafts.

    Raises:
        KeyError: There is no such round, or no model made tasks.
        StoreError: The files cannot be read.
    """
    every = names(run)
    if not every or wanted.of not in ("", *every):
        raise KeyError(wanted.of)
    wanted = wanted.but(of=wanted.of or every[-1], draw=wanted.draw, first=wanted.first)
    one = made(run, wanted.of)
    found = [] if wanted.sampled else one.found(wanted)
    shown = one.sample(wanted.draw) if wanted.sampled else found[wanted.first :][:limit]
    after = wanted.first + limit
    return render(
        "tasks.html",
        site,
        slug=slug,
        wanted=wanted,
        tabs=[(name, title_of(name)) for name in every],
        made=one,
        drafts=shown,
        total=len(found),
        before=wanted.but(first=max(0, wanted.first - limit)) if wanted.first else None,
        after=wanted.but(first=after) if after < len(found) else None,
        **_helpers(),
    )


def report_section(run: Run) -> dict[str, Any]:
    """What the template of a report's section takes; without tasks of a model it stays empty."""
    found = [made(run, name) for name in names(run)]
    return {"synthesis": found, "wanted": TaskFilter(), **_helpers()}


def _helpers() -> dict[str, Any]:
    return {"attached": attached, "KEPT": KEPT, "SAMPLE": SAMPLE}
