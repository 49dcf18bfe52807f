"""The runs that are looked at, each with its index, kept up to date in the background."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from sport.jsonl import StoreError
from sport.store import Run
from sport.view.index import Index
from sport.view.overview import Overview, overview

REFRESH_S = 2.0
"""Seconds between two looks at a run's folder."""


class Entry:
    """One run that is looked at.

    Attributes:
        slug: Its name in addresses.
        run: The run.
        reading: Trajectories read by the update under way; 0 where none is.
        trouble: Why it could not be read the last time; empty where it could.
    """

    def __init__(self, slug: str, run: Run) -> None:
        """Nothing is read yet."""
        self.slug = slug
        self.run = run
        self.reading = 0
        self.trouble = ""
        self._lock = threading.Lock()
        self._known: tuple[object, Overview] | None = None

    @cached_property
    def index(self) -> Index:
        """Its index."""
        return Index(self.run)

    def update(self) -> None:
        """Brings the index up to date."""

        def told(n: int) -> None:
            self.reading += n

        try:
            self.index.update(told)
        finally:
            self.reading = 0

    def state(self) -> str:
        """Changes whenever what the run's page says does."""
        names = ("metrics.jsonl", "usage.jsonl", *self._tuning())
        sizes = [(name, _size(self.run.path / name)) for name in names]
        return f"{zlib.crc32(repr((self.index.state(), sizes)).encode()):08x}"

    def overview(self) -> Overview:
        """What the run's page says; gathered once for each state."""
        with self._lock:
            state = self.state()
            if self._known is None or self._known[0] != state:
                self._known = (state, overview(self.run, self.index))
            return self._known[1]

    def _tuning(self) -> Iterator[str]:
        for file in sorted(self.run.path.glob("rounds/*/tuning*.jsonl")):
            yield file.relative_to(self.run.path).as_posix()


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


class Book:
    """The runs that are looked at, by their names in addresses."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Opens runs.

        Args:
            folders: Folders of runs, or of folders of runs; those that begin later are found too.

        Raises:
            StoreError: A folder is no run and holds none.
        """
        self._folders = [Path(f).absolute() for f in folders]
        self._entries: dict[Path, Entry] = {}
        self._slugs: dict[str, Entry] = {}
        self.unreadable: dict[Path, str] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.look()
        for folder in self._folders:
            if not folder.is_dir():
                raise StoreError(
                    f"{folder} is no folder. Name a run's folder, such as runs/pocket."
                )
            if not any(e == folder or e.parent == folder for e in self._entries):
                raise StoreError(f"{folder} is not a run, and holds none: no config.toml is there.")

    @property
    def entries(self) -> list[Entry]:
        """The runs, by name."""
        return sorted(self._slugs.values(), key=lambda e: e.slug)

    def __getitem__(self, slug: str) -> Entry:
        """The run of that name.

        Raises:
            KeyError: There is none.
        """
        return self._slugs[slug]

    def look(self) -> None:
        """Finds runs that are new."""
        for folder in self._folders:
            configs = [folder / "config.toml", *sorted(folder.glob("*/config.toml"))]
            for path in (c.parent for c in configs if c.is_file()):
                if path not in self._entries:
                    self._open(path, named=path == folder)

    def _open(self, path: Path, named: bool) -> None:
        """Takes a run in; one that cannot be opened is told of, and hides no other.

        Raises:
            Exception: It was named, and cannot be opened.
        """
        try:
            run = Run.open(path)
        except Exception as error:
            if named:
                raise
            self.unreadable[path] = f"{type(error).__name__}: {error}"
            return
        self.unreadable.pop(path, None)
        slug = _slug(path.name, self._slugs)
        self._entries[path] = self._slugs[slug] = Entry(slug, run)

    def update(self) -> None:
        """Reads what was added to any of the runs.

        Raises:
            StoreError: One of them cannot be read.
        """
        self.look()
        for entry in self.entries:
            entry.update()

    def start(self) -> None:
        """Keeps reading in the background, until :meth:`stop`."""
        self._thread = threading.Thread(target=self._follow, name="sport-view-index", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):  # a folder that has gone, for one
                self.look()
            for entry in self.entries:
                try:
                    entry.update()
                    entry.overview()  # so that a page finds it ready
                except Exception as error:
                    # One run that cannot be read must not hide the others; its page says why.
                    entry.trouble = f"{type(error).__name__}: {error}"
                else:
                    entry.trouble = ""
            self._ended.wait(REFRESH_S)

    def stop(self) -> None:
        """Ends reading in the background."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=10)


def _slug(name: str, taken: Container[str]) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name)
    plain = plain.strip(".") or "run"
    number, slug = 2, plain
    while slug in taken:
        slug, number = f"{plain}-{number}", number + 1
    return slug
