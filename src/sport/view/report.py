"""The report of a run: its page alone, which needs no network, and the learning curve's picture.

Everything in it that a model or a dataset wrote is untrusted: the template escapes all text, the
page allows no script and loads nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from sport.evals.curve import curve_png
from sport.store import Run
from sport.view.index import Index
from sport.view.overview import overview
from sport.view.site import Report, render
from sport.view.tasks_page import report_section


def write_report(run: Run) -> Path:
    """Writes ``report.html`` and ``report.png`` into the run's folder.

    Args:
        run: The run; only its index is brought up to date.

    Returns:
        The page. Both files appear whole or not at all; the picture only where there is a row.
    """
    index = Index(run)
    index.update()
    found = overview(run, index)
    if found.main:
        _write(run.path / "report.png", curve_png(found.main))
    page = render("run.html", Report(), run=run, slug="", over=found, **report_section(run))
    target = run.path / "report.html"
    _write(target, page.encode("utf-8", "replace"))
    return target


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
