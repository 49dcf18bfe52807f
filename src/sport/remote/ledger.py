"""What servers were asked and what it cost, by stage, round and model; and when to stop.

The counts lie in the run's ``usage.jsonl``. A row is appended whenever trajectories are committed,
so a run that is killed forgets at most what it asked since.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sport.jsonl import append_lines, read_lines
from sport.remote.config import BudgetSettings, Price


class BudgetSpent(RuntimeError):
    """The budget is spent: nothing new is begun. Says what was spent and how to go on."""


class Account(NamedTuple):
    """What costs are booked on; without role and model it holds the seconds of a stage."""

    stage: str
    round: int
    role: str = ""
    model: str = ""


@dataclass
class Usage:
    """Counts of one account.

    Attributes:
        requests: Attempts sent.
        tokens_in: Tokens read.
        tokens_out: Tokens written.
        unmetered: Answers that did not say their tokens.
        cost: In the currency of the prices.
        missing: Candidates that could not be had.
        faults: What went wrong, by kind.
        seconds: Wall time of the stage.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    unmetered: int = 0
    cost: float = 0.0
    missing: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Usage) -> None:
        """Adds other counts to these."""
        for name, value in vars(other).items():
            if name == "faults":
                self.faults.update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


class Ledger:
    """Books what a run spends, for any thread."""

    def __init__(self, file: Path | None = None, budget: BudgetSettings | None = None) -> None:
        """Goes on where ``file`` ends; ``None`` keeps the counts in memory."""
        self._file = file
        self._budget = budget or BudgetSettings()
        self._total = Usage()
        for usage in read_usage(file).values() if file else ():
            self._total.add(usage)
        self._pending: dict[Account, Usage] = {}
        self._place = ("", 0)
        self._since = time.monotonic()
        self._lock = threading.RLock()

    @contextmanager
    def at(self, stage: str, round: int) -> Iterator[None]:
        """Books what happens in the block on a stage of a round."""
        self._place = (stage, round)
        self._since = time.monotonic()
        try:
            yield
        finally:
            self.flush()
            self._place = ("", 0)

    def book(self, role: str, model: str, usage: Usage) -> None:
        """Books counts on the stage under way."""
        account = Account(*self._place, role, model)
        with self._lock:
            self._pending.setdefault(account, Usage()).add(usage)
            self._total.add(usage)

    def flush(self) -> None:
        """Writes what has been booked since the last time."""
        with self._lock:
            now = time.monotonic()
            self.book("", "", Usage(seconds=now - self._since))
            self._since = now
            rows = [
                json.dumps({**account._asdict(), **vars(usage)})
                for account, usage in self._pending.items()
                if self._place != ("", 0)
            ]
            self._pending.clear()
        if self._file is not None:
            append_lines(self._file, rows)

    def _spent(self) -> Iterator[tuple[str, float, float | None]]:
        """What there are budgets of: the name, what was spent, and the limit."""
        budget, total = self._budget, self._total
        hours = (total.seconds + time.monotonic() - self._since) / 3600
        yield "money", total.cost, budget.money
        yield "tokens", total.tokens_in + total.tokens_out, budget.tokens
        yield "hours", hours, budget.hours

    def in_words(self) -> str:
        """What was spent of each budget that there is, and what was paid without one."""
        found = [
            f"{spent:.4g} of {limit:g} {name}" if limit is not None else f"{spent:.4g} {name}"
            for name, spent, limit in self._spent()
            if limit is not None or (name == "money" and spent)
        ]
        return f"spent: {', '.join(found)}" if found else ""

    def check(self) -> None:
        """Raises where the budget is spent.

        Raises:
            BudgetSpent: It is.
        """
        for name, spent, limit in self._spent():
            if limit is not None and spent >= limit:
                raise BudgetSpent(
                    f"The budget is spent: {spent:.6g} of {limit:g} {name}. What was begun is "
                    f"finished and kept; go on with -o budget.{name}=… and the same command."
                )


class Meter:
    """Books the requests of one model in one role, such as ``policy``."""

    def __init__(self, ledger: Ledger, role: str, model: str, price: Price | None = None) -> None:
        """Takes where to book, and what a million tokens cost."""
        self._ledger = ledger
        self._role, self._model, self._price = role, model, price

    def request(self) -> None:
        """One attempt is sent."""
        self._book(Usage(requests=1))

    def fault(self, kind: str, times: int = 1) -> None:
        """Something went wrong."""
        self._book(Usage(faults=Counter({kind: times})))

    def missing(self, candidates: int) -> None:
        """Candidates could not be had."""
        self._book(Usage(missing=candidates))

    def tokens(self, tokens: tuple[int, int] | None) -> None:
        """An answer cost this many tokens, read and written; ``None`` if it does not say."""
        if tokens is None:
            self._book(Usage(unmetered=1))
            return
        read, written = tokens
        price = self._price or Price(input=0, output=0)
        cost = (read * price.input + written * price.output) / 1e6
        self._book(Usage(tokens_in=read, tokens_out=written, cost=cost))

    def _book(self, usage: Usage) -> None:
        self._ledger.book(self._role, self._model, usage)


def read_usage(file: Path) -> dict[Account, Usage]:
    """The sums of a usage file, by account, in the order in which they first appear."""
    sums: dict[Account, Usage] = {}
    for row in (json.loads(line) for line in read_lines(file)):
        account, usage = _row(row)
        sums.setdefault(account, Usage()).add(usage)
    return sums


def _row(row: Mapping[str, Any]) -> tuple[Account, Usage]:
    account = Account(*(row[name] for name in Account._fields))
    counts = {k: v for k, v in row.items() if k not in Account._fields}
    return account, Usage(**{**counts, "faults": Counter(counts["faults"])})


def of_models(sums: Mapping[Account, Usage]) -> Iterable[tuple[Account, Usage]]:
    """The accounts that are a model's."""
    return ((account, usage) for account, usage in sums.items() if account.model)
