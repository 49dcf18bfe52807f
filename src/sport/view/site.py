"""The same pages in three places: served, saved as files, and alone as a run's report.

What differs is how pages and pictures are named, and what a page may load. A site that cannot link
gives an empty address, and the templates leave the link out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from sport.evals.statistics import wilson
from sport.evals.table import METRICS, change, label, percent, preference
from sport.images import FORMATS
from sport.types import File
from sport.untrusted import clip, shown
from sport.view.places import title_of
from sport.view.search import Filter
from sport.view.tasks import TaskFilter

STATIC = {
    "sport.css": "text/css; charset=utf-8",
    "sport.js": "text/javascript; charset=utf-8",
    "sport.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx-LICENSE.txt": "text/plain; charset=utf-8",
}
"""The files that pages load, and their types."""

PICTURE_PX = 320
"""Longest side of a picture in a report."""

_DATA = "data:image/jpeg;base64,"


class Site(Protocol):
    """Where pages are.

    Attributes:
        live: Whether a server answers.
        policy: The content security policy of its pages, where they must name it themselves.
    """

    live: bool
    policy: str

    def static(self, name: str) -> str:
        """Address of one of :data:`STATIC`."""
        ...

    def page(self, run: str, *path: str, wanted: Filter | None = None) -> str:
        """Address of a run's page, or of the list of runs where ``run`` is empty."""
        ...

    def listing(self, run: str, wanted: Filter, first: int) -> str:
        """Address of a page of the list of trajectories, by the number of its first."""
        ...

    def comparison(self, run: str, choice: Mapping[str, str]) -> str:
        """Address of a comparison: ``before``, ``after``, ``show`` and ``task``."""
        ...

    def tasks(self, run: str, wanted: TaskFilter) -> str:
        """Address of tasks that a model made; empty where they have no page."""
        ...

    def picture(self, run: str, file: File) -> str:
        """Address of a picture; empty where it cannot be shown."""
        ...

    def document(self, run: str, file: File) -> str:
        """Address under which a file is saved; empty where it cannot be."""
        ...


class Report:
    """One page that is all by itself."""

    live = False

    def __init__(self) -> None:
        """Its styles are in the page, and the policy allows no others."""
        digest = base64.b64encode(hashlib.sha256(asset("sport.css").encode()).digest()).decode()
        self.policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"

    def static(self, name: str) -> str:
        """Nothing is loaded."""
        return ""

    def page(self, run: str, *path: str, wanted: Filter | None = None) -> str:
        """There are no other pages."""
        return ""

    def listing(self, run: str, wanted: Filter, first: int) -> str:
        """There are no other pages."""
        return ""

    def comparison(self, run: str, choice: Mapping[str, str]) -> str:
        """There are no other pages."""
        return ""

    def tasks(self, run: str, wanted: TaskFilter) -> str:
        """There are no other pages."""
        return ""

    def document(self, run: str, file: File) -> str:
        """Nothing but pictures is in the page."""
        return ""

    def picture(self, run: str, file: File) -> str:
        """The picture itself, scaled."""
        try:
            with Image.open(file.path, formats=FORMATS) as image:
                image.thumbnail((PICTURE_PX, PICTURE_PX))
                buffer = io.BytesIO()
                image.convert("RGB").save(buffer, format="JPEG", quality=82)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return ""  # PIL raises any of these for bytes that are no picture
        return _DATA + base64.b64encode(buffer.getvalue()).decode()


@cache
def asset(name: str) -> str:
    """One of :data:`STATIC`."""
    return (files("sport.view") / "static" / name).read_text(encoding="utf-8")


def seconds(value: float) -> str:
    """A time as people say it."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def as_text(value: Any) -> str:
    """A JSON value as a page shows it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown(clip(text, 4000))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sport.view"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": lambda value: shown(clip(str(value))),
        "json": as_text,
        "seconds": seconds,
        "place": title_of,
        "preference_of": preference,
        "svg": Markup,
    }
    environment.globals |= {
        "METRICS": METRICS,
        "change": change,
        "label": label,
        "percent": percent,
        "preference": preference,
        "wilson": wilson,
        "asset": lambda name: Markup(asset(name)),
    }
    return environment


def render(template: str, site: Site, **values: Any) -> str:
    """A page, or a part of one, as HTML."""
    return _environment().get_template(template).render(site=site, **values)
