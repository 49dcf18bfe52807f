"""A static copy of the viewer: files that open from a disk, or from any web server."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from sport.blobs import BlobError
from sport.jsonl import StoreError, storing
from sport.types import File
from sport.view import pages
from sport.view.book import Book, Entry
from sport.view.comparison import Comparison, sides_of
from sport.view.pictures import extension
from sport.view.search import Filter, find
from sport.view.site import STATIC, asset
from sport.view.tasks import TaskFilter, made, names, saved_as
from sport.view.tasks_page import tasks_page

LISTED = 1000
"""Trajectories of one page of the list."""

_ALL = Filter()


@dataclass
class _Copy:
    """What all pages of a copy share: where it lies, its pictures, the comparisons it needs."""

    folder: Path
    book: Book
    pictures: dict[str, str] = field(default_factory=dict)
    owed: deque[Mapping[str, str]] = field(default_factory=deque)
    compared: set[str] = field(default_factory=set)

    def picture(self, run: str, file: File) -> str:
        """Copies a picture, and gives its name; an empty one where it cannot be shown."""
        if file.sha256 not in self.pictures:
            self.pictures[file.sha256] = self._copied(run, file)
        return self.pictures[file.sha256]

    def document(self, run: str, file: File) -> str:
        """Copies a document, and gives its name; an empty one where its bytes are not there."""
        try:
            data = self.book[run].run.blobs.read(file)
        except BlobError:
            return ""
        name = f"files/{hashlib.sha256(data).hexdigest()}/{saved_as(file)}"
        _write(self.folder / name, data)
        return name

    def _copied(self, run: str, file: File) -> str:
        try:
            data = self.book[run].run.blobs.read(file)
        except BlobError:
            return ""
        kind = extension(data)
        if kind is None:
            return ""
        name = f"blobs/{hashlib.sha256(data).hexdigest()}.{kind}"
        _write(self.folder / name, data)
        return name


class Saved:
    """The site as one of its saved pages sees it."""

    live = False
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'"
    )

    def __init__(self, copy: _Copy, depth: int) -> None:
        """A page ``depth`` folders below the copy's own."""
        self._copy = copy
        self._up = "../" * depth

    def static(self, name: str) -> str:
        """Relative address of a file that pages load."""
        return f"{self._up}static/{name}"

    def page(self, run: str, *path: str, wanted: Filter | None = None) -> str:
        """Relative address of a page."""
        name = "/".join(quote(part, safe="") for part in path) or "index"
        return f"{self._up}{quote(run, safe='')}/{name}.html" if run else f"{self._up}index.html"

    def listing(self, run: str, wanted: Filter, first: int) -> str:
        """Relative address of a page of the list."""
        return self.page(run, _list_name(first))

    def comparison(self, run: str, choice: Mapping[str, str]) -> str:
        """Relative address of a comparison, which will be saved."""
        name = _comparison_name(choice)
        if name not in self._copy.compared:
            self._copy.compared.add(name)
            self._copy.owed.append(choice)
        return self.page(run, "compare", name)

    def tasks(self, run: str, wanted: TaskFilter) -> str:
        """Relative address of tasks; nothing is drawn or looked for anew."""
        return "" if wanted.draw or wanted.q else self.page(run, _tasks_name(wanted))

    def document(self, run: str, file: File) -> str:
        """Relative address of a file, which is copied; empty where its bytes are not there."""
        name = self._copy.document(run, file)
        return self._up + name if name else ""

    def picture(self, run: str, file: File) -> str:
        """Relative address of a picture, which is copied."""
        name = self._copy.picture(run, file)
        return self._up + name if name else ""


def save(book: Book, folder: Path, told: Callable[[str], None] = lambda text: None) -> Path:
    """Saves every page of some runs.

    Args:
        book: The runs, brought up to date.
        folder: A new or empty folder.
        told: Told of every page, by its name.

    Returns:
        The page to begin with.

    Raises:
        StoreError: The folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not an empty folder. Name another one with --save.")
    copy = _Copy(folder, book)
    for name in STATIC:
        _write(folder / "static" / name, asset(name).encode())
    _page(folder / "index.html", pages.runs_page(Saved(copy, 0), book))
    for entry in book.entries:
        for name, page in _pages(copy, entry):
            _page(folder / entry.slug / f"{name}.html", page)
            told(f"{entry.slug}/{name}")
    return folder / "index.html"


def _pages(copy: _Copy, entry: Entry) -> Iterator[tuple[str, str]]:
    site, below = Saved(copy, 1), Saved(copy, 2)
    yield "index", pages.run_page(site, entry)
    total = find(entry.index, _ALL, limit=0).total
    for first in range(0, max(total, 1), LISTED):
        yield _list_name(first), pages.list_page(site, entry, _ALL, first, LISTED)
        for row in find(entry.index, _ALL, first, LISTED).rows:
            yield f"t/{row['key']}", pages.trajectory_page(below, entry, row["key"], _ALL)
    yield from _task_pages(site, entry)
    sides = sides_of(copy.book, entry)
    if not sides:
        return
    comparison = Comparison(sides, "", "")
    yield "compare", pages.compare_page(site, entry, comparison, "all")
    while copy.owed:
        choice = copy.owed.popleft()
        page = pages.compare_page(below, entry, comparison, "all", choice["task"])
        yield f"compare/{_comparison_name(choice)}", page


def _task_pages(site: Saved, entry: Entry) -> Iterator[tuple[str, str]]:
    """The tasks of every round: a sample, and of every fate all drafts."""
    every = names(entry.run)
    if every:
        yield "tasks", tasks_page(site, entry.run, entry.slug, TaskFilter())
    for name in every:
        counts = {"": 1, **made(entry.run, name).fates}
        for fate, count in counts.items():
            for first in range(0, count, LISTED):
                wanted = TaskFilter(of=name, fate=fate, first=first)
                page = tasks_page(site, entry.run, entry.slug, wanted, LISTED)
                yield _tasks_name(wanted), page


def _tasks_name(wanted: TaskFilter) -> str:
    digest = hashlib.blake2b(wanted.query().encode(), digest_size=8).hexdigest()
    return f"tasks-{digest}"


def _list_name(first: int) -> str:
    return "trajectories" if first == 0 else f"trajectories-{first // LISTED + 1}"


def _comparison_name(choice: Mapping[str, str]) -> str:
    parts = repr(sorted(choice.items())).encode("utf-8", "replace")
    return hashlib.blake2b(parts, digest_size=8).hexdigest()


def _page(file: Path, page: str) -> None:
    _write(file, page.encode("utf-8", "replace"))


def _write(file: Path, data: bytes) -> None:
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
