"""A run's recorded calls stand in for its tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sport.tools.base import Tool, ToolNotFound, tool
from sport.tools.cache import NotRecorded, ToolCache
from sport.tools.calls import FILE, CallStore
from sport.tools.cards import card
from sport.tools.replay import replayed_tools


class Service:
    """Tools that count what they are asked."""

    def __init__(self) -> None:
        self.asked = 0

    def tools(self) -> list[Tool]:
        @tool
        def measure(path: Path, scale: float = 1.5, note: str | None = None) -> Path:
            """Measures a file."""
            self.asked += 1
            made = path.with_name("measured.txt")
            made.write_text(f"{len(path.read_bytes()) * scale:g} {note}")
            return made

        @tool(deterministic=False)
        def draw_lots() -> int:
            """Never twice the same."""
            self.asked += 1
            if self.asked == 4:
                raise LookupError("no lots are left")
            return self.asked

        return [measure, draw_lots]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a few recorded calls."""
    folder = tmp_path / "run"
    (folder / "cache").mkdir(parents=True)
    (folder / "work").mkdir()
    (folder / "work" / "a.bin").write_bytes(b"1234")
    store = CallStore(folder / "cache" / FILE)
    tools = Service().tools()
    for one in tools:
        store.keep_card(one.name, card(one))
    called = ToolCache(store).wrap(tools)
    assert called["measure"](folder / "work", {"path": "a.bin", "scale": 2}) == "measured.txt"
    assert [called["draw_lots"](folder / "work", {}) for _ in range(2)] == [2, 3]
    with pytest.raises(LookupError):
        called["draw_lots"](folder / "work", {})
    store.close()
    return folder


def replay(run: Path) -> tuple[Mapping[str, Tool], ToolCache]:
    cache = ToolCache()
    return cache.wrap(replayed_tools(run).values()), cache


def test_it_looks_like_the_run(run: Path) -> None:
    tools, _ = replay(run)
    for before in Service().tools():
        after = tools[before.name]
        assert (after.signature, after.description) == (before.signature, before.description)
        assert after.deterministic == before.deterministic
    with pytest.raises(TypeError, match="wants float as 'scale', got 'x'"):
        tools["measure"].bind(["a.bin", "x"], {})


def test_equal_content_is_answered_whatever_the_file_is_called(run: Path, tmp_path: Path) -> None:
    tools, _ = replay(run)
    (tmp_path / "b.bin").write_bytes(b"1234")
    for name in ("measured.txt", "measured_1.txt"):
        assert tools["measure"](tmp_path, {"path": "b.bin", "scale": 2}) == name
        assert (tmp_path / name).read_text() == "8 None"


def test_answers_come_in_their_order_and_so_do_failures(run: Path, tmp_path: Path) -> None:
    tools, cache = replay(run)
    assert [tools["draw_lots"](tmp_path, {}) for _ in range(2)] == [2, 3]
    with pytest.raises(Exception, match="no lots are left") as caught:
        tools["draw_lots"](tmp_path, {})
    assert type(caught.value).__name__ == "LookupError"
    with pytest.raises(NotRecorded, match=r"the replay of run has no answer to draw_lots\(\)"):
        tools["draw_lots"](tmp_path, {})
    [count] = cache.store.counts()
    assert (count.asked, count.called, count.missing) == (4, 3, 1)


def test_what_was_never_asked_has_no_answer(run: Path, tmp_path: Path) -> None:
    tools, cache = replay(run)
    (tmp_path / "a.bin").write_bytes(b"other bytes")
    with pytest.raises(NotRecorded, match=r"no answer to measure\(path='a.bin', scale=2\)"):
        tools["measure"](tmp_path, {"path": "a.bin", "scale": 2})
    assert [c.missing for c in cache.store.counts()] == [1]


def test_a_folder_without_recorded_calls(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFound, match="no run with recorded calls"):
        replayed_tools(tmp_path)
