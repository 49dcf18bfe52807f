"""Saying what a run is doing: a live display on a terminal, plain lines elsewhere, always a log.

Somebody who watches a run, or a machine that watches for silence, hears of it at least every ten
seconds, also while one long computation is under way. What is said is written beside the run too,
so that another process can show it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sport.tally import Tally

HEARTBEAT_S = 7.0
"""Longest silence, in seconds."""

STATE = "state.json"
"""The file of a run that says what it does."""

STALE_S = 20.0
"""A state that says `running` and is older than this many seconds is a dead process's."""

_STATE_EVERY_S = 1.0

log = logging.getLogger("sport")


class Activity:
    """A stage that is under way: how much of it is done, and how it is going.

    Attributes:
        tally: What it has counted.
    """

    def __init__(self, name: str, total: int | None, done: int) -> None:
        """Use :meth:`Progress.activity`."""
        self.name = name
        self.total = total
        self.done = done
        self.note = ""
        self.tally = Tally()
        self.started = time.monotonic()
        self._before = done

    def advance(self, n: int = 1) -> None:
        """``n`` more are done."""
        self.done += n

    def say(self, note: str) -> None:
        """How it is going, in a few words."""
        self.note = note

    @property
    def seconds(self) -> float:
        """Time since it started."""
        return time.monotonic() - self.started

    @property
    def left(self) -> str:
        """How long it will take, in words; empty where nobody knows."""
        now = self.done - self._before
        if self.total is None or not now or self.done >= self.total:
            return ""
        return f"about {self.seconds / now * (self.total - self.done):.0f} s left"

    def parts(self) -> list[str]:
        """What is to be said of it now, but for its name."""
        tasks = "" if self.total is None else f"{self.done}/{self.total} tasks"
        words = self.tally.words(self.seconds)
        said = [tasks, self.left, self.note, *words, f"{self.seconds:.0f} s"]
        return [part for part in said if part]

    def line(self) -> str:
        """What is to be said of it now."""
        return " · ".join([self.name, *self.parts()])


class Progress:
    """Where a run says what it is doing.

    Attributes:
        console: Where it is said; a quiet one says nothing.
        current: The stage under way, if there is one.
    """

    def __init__(self, console: Console, heartbeat: float = HEARTBEAT_S) -> None:
        """Says on ``console``, at least every ``heartbeat`` seconds while something goes on."""
        self.console = console
        self.current: Activity | None = None
        self._heartbeat = heartbeat
        self._spoke = time.monotonic()
        self._state: _State | None = None
        self._figures: list[str] = []

    def say(self, text: str) -> None:
        """Says something that stays, and logs it."""
        log.info("%s", text)
        self._print(text)

    def figure(self, text: str) -> None:
        """Says a result; the live display goes on showing it."""
        self._figures.append(text)
        self.say(text)

    @contextmanager
    def recorded(self, run: Path, again: str) -> Iterator[None]:
        """Writes what goes on in the block into the run's folder, and how it ended.

        Args:
            run: The folder.
            again: The command that goes on.
        """
        self._state = _State(run / STATE, again)
        self._state.write("running", "starting")
        word, line = "ended", ""
        try:
            with self._state.fresh():
                yield
        except KeyboardInterrupt:
            word, line = "stopped", "It was interrupted."
            raise
        except BaseException as error:
            word, line = "failed", f"{type(error).__name__}: {error}"[:500]
            raise
        finally:
            self._state.write(word, line)
            self._state = None

    @contextmanager
    def activity(self, name: str, total: int | None = None, done: int = 0) -> Iterator[Activity]:
        """A stage: watched while the block runs, summed up in a line at its end.

        Args:
            name: What is being done.
            total: Tasks to do, where it is done task by task.
            done: How many of them were done before.
        """
        log.info("%s: started", name)
        activity = Activity(name, total, done)
        before, self.current = self.current, activity
        try:
            with self._shown(activity), self._beating(activity):
                yield activity
        finally:
            self.current = before
        self.say(activity.line())

    def _shown(self, activity: Activity) -> AbstractContextManager[object]:
        if not self.console.is_terminal or self.console.quiet:
            return nullcontext()
        return Live(
            get_renderable=lambda: _display(activity, self._figures[-4:]),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )

    def _beating(self, activity: Activity) -> AbstractContextManager[None]:
        def beat() -> None:
            self._tell(activity)
            silent = time.monotonic() - self._spoke
            if silent >= self._heartbeat and not self.console.is_terminal:
                self._print(activity.line())

        self._tell(activity)
        return _every(min(_STATE_EVERY_S, self._heartbeat / 2), beat)

    def _tell(self, activity: Activity) -> None:
        if self._state is not None:
            self._state.write("running", activity.line(), activity.done, activity.total)

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _display(activity: Activity, figures: list[str]) -> RenderableType:
    """The live display: results so far, the stage and its bar, and its counts."""
    bar = Table.grid(padding=(0, 2), expand=True)
    bar.add_column(no_wrap=True, overflow="ellipsis")
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    spinning = activity.total is None
    bar.add_row(
        Text(activity.name, style="bold"),
        ProgressBar(activity.total or 100, activity.done, pulse=spinning),
        Text(f"{activity.seconds:.0f} s" if spinning else f"{activity.done}/{activity.total}"),
    )
    known = {f"{activity.done}/{activity.total} tasks"}
    counts = " · ".join(part for part in activity.parts() if part not in known)
    return Group(*(Text(line, style="dim") for line in figures), bar, Text(counts, style="dim"))


@contextmanager
def _every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Does something again and again in a thread, as long as the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=beat, name="sport-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _State:
    """The file that says what a run does."""

    def __init__(self, file: Path, again: str) -> None:
        self._file = file
        self._again = again
        self._last: tuple[str, str, int, int | None] = ("running", "", 0, None)
        self._lock = threading.Lock()

    def fresh(self) -> AbstractContextManager[None]:
        """Says again, every few seconds, what was said last: also while no stage tells anything."""
        return _every(STALE_S / 4, lambda: self.write(*self._last))

    def write(self, word: str, line: str, done: int = 0, total: int | None = None) -> None:
        """Replaces it. It is a courtesy: where it cannot be written, the run goes on."""
        state = {
            "state": word, "line": line, "done": done, "total": total, "again": self._again,
            "pid": os.getpid(), "updated": time.time(),
        }  # fmt: skip
        self._last = (word, line, done, total)
        part = self._file.with_name(f".{self._file.name}")
        with self._lock, suppress(OSError):
            part.write_text(json.dumps(state), encoding="utf-8")
            os.replace(part, self._file)


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
