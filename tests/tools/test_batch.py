"""Calls that come at once are computed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sport.sandbox import ForkSandbox
from sport.tools.base import Tool
from sport.tools.batch import batched


def double(x: int) -> int:
    """Doubles."""
    raise AssertionError("never called")


class Model:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.computing = threading.Lock()

    def many(self, calls: Sequence[dict[str, Any]]) -> list[int]:
        assert self.computing.acquire(blocking=False), "one batch at a time"
        try:
            numbers = [call["x"] for call in calls]
            self.batches.append(numbers)
            time.sleep(0.1)
            return [2 * n if n < 100 else 1 // 0 for n in numbers]
        finally:
            self.computing.release()


def test_calls_that_wait_go_together() -> None:
    model = Model()
    call = batched(double, model.many, most=3)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda x: call(x=x), range(8))) == [2 * x for x in range(8)]
    assert sorted(x for batch in model.batches for x in batch) == list(range(8))
    assert max(map(len, model.batches)) == 3
    assert len(model.batches) <= 4


def test_one_that_fails_fails_alone() -> None:
    model = Model()
    call = batched(double, model.many)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(call, x=x) for x in (1, 100, 2, 3)]
        assert [a.result() for a in (asked[0], asked[2], asked[3])] == [2, 4, 6]
        with pytest.raises(ZeroDivisionError):
            asked[1].result()
    assert call(x=5) == 10


async def test_a_tool_of_it_looks_like_the_function(tmp_path: Path) -> None:
    model = Model()
    tool = Tool(batched(double, model.many))
    assert tool.signature == "double(x: int) -> int"
    async with ForkSandbox({"double": tool}) as sandbox:
        codes = [f"double({n})" for n in range(5)]
        outcomes = await sandbox.run(await sandbox.open(), codes)
    assert [o.value for o in outcomes] == ["0", "2", "4", "6", "8"]
    assert len(model.batches) < 5
