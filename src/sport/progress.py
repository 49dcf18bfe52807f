"""Saying what a run is doing: bars on a terminal, plain lines elsewhere, and always a log.

Somebody who watches a run, or a machine that watches for silence, hears of it at least every ten
seconds, also while one long computation is under way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

HEARTBEAT_S = 7.0
"""Longest silence, in seconds."""

log = logging.getLogger("sport")


class Activity:
    """A stage that is under way: how much of it is done, and how it is going."""

    def __init__(
        self, name: str, total: int | None, done: int, changed: Callable[[], None]
    ) -> None:
        """Use :meth:`Progress.activity`."""
        self.name = name
        self.total = total
        self.done = done
        self.note = ""
        self.started = time.monotonic()
        self._before = done
        self._changed = changed

    def advance(self, n: int = 1) -> None:
        """``n`` more are done."""
        self.done += n
        self._changed()

    def say(self, note: str) -> None:
        """How it is going, in a few words."""
        self.note = note
        self._changed()

    @property
    def seconds(self) -> float:
        """Time since it started."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """What is to be said of it now."""
        parts = [self.name]
        if self.total is not None:
            parts.append(f"{self.done}/{self.total} tasks")
            now = self.done - self._before
            if now and self.done < self.total:
                left = self.seconds / now * (self.total - self.done)
                parts.append(f"about {left:.0f} s left")
        parts += [self.note] if self.note else []
        return " · ".join([*parts, f"{self.seconds:.0f} s"])


class Progress:
    """Where a run says what it is doing.

    Attributes:
        console: Where it is said.
    """

    def __init__(self, console: Console, heartbeat: float = HEARTBEAT_S) -> None:
        """Says on ``console``, at least every ``heartbeat`` seconds while something goes on."""
        self.console = console
        self._heartbeat = heartbeat
        self._spoke = time.monotonic()

    def say(self, text: str) -> None:
        """Says something that stays, and logs it."""
        log.info("%s", text)
        self._print(text)

    @contextmanager
    def activity(self, name: str, total: int | None = None, done: int = 0) -> Iterator[Activity]:
        """A stage: watched while the block runs, summed up in a line at its end.

        Args:
            name: What is being done.
            total: Tasks to do, where it is done task by task.
            done: How many of them were done before.
        """
        log.info("%s: started", name)
        watch = self._bar if self.console.is_terminal else self._lines
        with watch(name, total, done) as activity:
            yield activity
        self.say(activity.line())

    @contextmanager
    def _lines(self, name: str, total: int | None, done: int) -> Iterator[Activity]:
        activity = Activity(name, total, done, lambda: None)
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(min(1.0, self._heartbeat / 2)):
                if time.monotonic() - self._spoke >= self._heartbeat:
                    self._print(activity.line())

        thread = threading.Thread(target=beat, name="sport-heartbeat", daemon=True)
        thread.start()
        try:
            yield activity
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def _bar(self, name: str, total: int | None, done: int) -> Iterator[Activity]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[note]}[/dim]"),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=self.console, transient=True) as bars:
            row = bars.add_task(escape(name), total=total, completed=done, note="")

            def changed() -> None:
                bars.update(row, completed=activity.done, note=escape(activity.note))

            activity = Activity(name, total, done, changed)
            yield activity

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Keeps the log of what happens in the block in a file."""
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.setLevel(logging.INFO)
    # Libraries' warnings are for the log: a user can do nothing about them.
    logging.captureWarnings(True)
    sources = (log, logging.getLogger("py.warnings"))
    for source in sources:
        source.addHandler(handler)
    try:
        yield
    finally:
        for source in sources:
            source.removeHandler(handler)
        logging.captureWarnings(False)
        log.setLevel(level)
        handler.close()
