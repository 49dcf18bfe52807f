"""The cache of tool results."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sport.secrets import Secrets
from sport.tools.base import Tool
from sport.tools.cache import ToolCache
from sport.tools.calls import CallStore


class Counter:
    """A tool's function that counts its calls."""

    def __init__(self, fail: int = 0, pause: float = 0.0) -> None:
        self.calls = 0
        self.fail = fail
        self.pause = pause
        self.lock = threading.Lock()

    def read(self, path: Path, times: int = 1) -> dict[str, Any]:
        """Reads."""
        with self.lock:
            self.calls += 1
            calls = self.calls
        time.sleep(self.pause)
        if calls <= self.fail:
            raise ValueError("not yet")
        return {"text": path.read_text() * times, "suffix": path.suffix}

    def draw(self, text: str) -> Path:
        """Makes a file in a folder of its own."""
        import tempfile

        self.calls += 1
        path = Path(tempfile.mkdtemp(prefix="sport-test-")) / "drawn.txt"
        path.write_text(text)
        return path


def cached(counter: Counter, path: Path | None = None, fn: str = "read", **declared: Any) -> Tool:
    tool = Tool(getattr(counter, fn), name=fn, **{"deterministic": True, **declared})
    return ToolCache(CallStore(path)).wrap([tool])[fn]


def test_equal_content_is_computed_once(tmp_path: Path) -> None:
    for name, text in (("a.txt", "x"), ("b.txt", "x"), ("c.txt", "y"), ("d.md", "x")):
        (tmp_path / name).write_text(text)
    counter = Counter()
    read = cached(counter)
    assert read(tmp_path, {"path": "a.txt"}) == {"text": "x", "suffix": ".txt"}
    assert read(tmp_path, {"path": "b.txt"}) == {"text": "x", "suffix": ".txt"}
    assert counter.calls == 1, "it goes by content, not by name"
    assert read(tmp_path, {"path": "c.txt"}) == {"text": "y", "suffix": ".txt"}
    assert read(tmp_path, {"path": "a.txt", "times": 2}) == {"text": "xx", "suffix": ".txt"}
    assert read(tmp_path, {"path": "d.md"}) == {"text": "x", "suffix": ".md"}
    assert counter.calls == 4
    (tmp_path / "a.txt").write_text("z")
    assert read(tmp_path, {"path": "a.txt"}) == {"text": "z", "suffix": ".txt"}
    with pytest.raises(FileNotFoundError):
        read(tmp_path, {"path": "missing"})


def test_a_caller_cannot_change_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    read = cached(Counter())
    first = read(tmp_path, {"path": "a.txt"})
    assert isinstance(first, dict)
    first["text"] = "spoilt"
    assert read(tmp_path, {"path": "a.txt"}) == {"text": "x", "suffix": ".txt"}


def test_calls_at_once_are_computed_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    counter = Counter(pause=0.1)
    read = cached(counter)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: read(tmp_path, {"path": "a.txt"}), range(16)))
    assert counter.calls == 1
    assert results == [{"text": "x", "suffix": ".txt"}] * 16


def test_failures_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    counter = Counter(fail=1)
    read = cached(counter)
    with pytest.raises(ValueError, match="not yet"):
        read(tmp_path, {"path": "a.txt"})
    assert read(tmp_path, {"path": "a.txt"}) == {"text": "x", "suffix": ".txt"}


def test_a_file_keeps_results_for_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    first, second = Counter(), Counter()
    cached(first, tmp_path / "cache.sqlite")(tmp_path, {"path": "a.txt"})
    again = cached(second, tmp_path / "cache.sqlite")(tmp_path, {"path": "a.txt"})
    assert again == {"text": "x", "suffix": ".txt"}
    assert (first.calls, second.calls) == (1, 0)


def test_files_that_a_tool_made_come_again(tmp_path: Path) -> None:
    counter = Counter()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    draw = cached(counter, tmp_path / "cache.sqlite", "draw")
    assert draw(tmp_path / "one", {"text": "hi"}) == "drawn.txt"
    assert draw(tmp_path / "two", {"text": "hi"}) == "drawn.txt"
    assert draw(tmp_path / "two", {"text": "hi"}) == "drawn_1.txt"
    assert (tmp_path / "two" / "drawn_1.txt").read_text() == "hi"
    assert counter.calls == 1


def test_results_of_another_version_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    first, second = Counter(), Counter()
    cached(first, tmp_path / "calls", version="1")(tmp_path, {"path": "a.txt"})
    cached(second, tmp_path / "calls", version="2")(tmp_path, {"path": "a.txt"})
    assert (first.calls, second.calls) == (1, 1)


def test_a_default_that_is_written_out_is_no_other_call(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    counter = Counter()
    read = cached(counter)
    read(tmp_path, {"path": "a.txt"})
    read(tmp_path, {"path": "a.txt", "times": 1})
    assert counter.calls == 1


def test_tools_that_are_not_deterministic_are_called_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    counter = Counter()
    cache = ToolCache()
    tool = Tool(counter.read, name="read", deterministic=False, cost=0.5)
    read = cache.wrap([tool])["read"]
    read(tmp_path, {"path": "a.txt"})
    read(tmp_path, {"path": "a.txt"})
    assert counter.calls == 2
    [count] = cache.store.counts()
    assert (count.asked, count.called, count.cached, count.cost) == (2, 2, 0, 1.0)


def test_counts_tell_what_was_paid_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    counter = Counter(fail=1, pause=0.1)
    cache = ToolCache()
    tool = Tool(counter.read, name="read", deterministic=True, cost=0.25)
    read = cache.wrap([tool])["read"]
    with pytest.raises(ValueError, match="not yet"):
        read(tmp_path, {"path": "a.txt"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read(tmp_path, {"path": "a.txt"}), range(4)))
    read(tmp_path, {"path": "a.txt"})
    [count] = cache.store.counts()
    assert (count.asked, count.called, count.failed) == (6, 2, 1)
    assert (count.shared + count.cached, count.cached >= 1, count.cost) == (4, True, 0.5)


def test_no_secret_is_kept(tmp_path: Path) -> None:
    def leak(fail: bool) -> dict[str, str]:
        if fail:
            raise ValueError("401 for https://me:hunter22@host/?api_key=abcd1234 and swordfish")
        return {"said": "the password is swordfish"}

    cache = ToolCache(CallStore(tmp_path / "calls"), Secrets(["swordfish"]))
    tool = cache.wrap([Tool(leak)])["leak"]
    assert tool(tmp_path, {"fail": False}) == {"said": "the password is [key]"}
    with pytest.raises(ValueError, match="401"):
        tool(tmp_path, {"fail": True})
    kept = b"".join(p.read_bytes() for p in tmp_path.glob("calls*"))
    assert b"401 for" in kept
    for secret in (b"swordfish", b"hunter22", b"abcd1234"):
        assert secret not in kept
