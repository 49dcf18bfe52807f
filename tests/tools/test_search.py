"""Searching: the right price list first, always; any text is a query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sport.pocket.corpus import documents
from sport.tools.documents import DocumentError, read_documents
from sport.tools.search import NO_RESULTS, pocket_search, search_tool


def test_every_price_is_found_first() -> None:
    search = pocket_search()
    pages = list(documents())
    assert len(pages) == 2_000
    for title, text in pages:
        article, shop = title.split(" at ")
        assert search(f"price of {article} at {shop}").split("\n")[0] == text


def test_at_most_two_passages_each_on_a_line() -> None:
    assert len(pocket_search()("What do stars cost at the Red Wolf?").split("\n")) == 2


def test_own_documents_show_their_titles() -> None:
    search = search_tool([("Opening hours", "Open from\n9 to 5."), ("Team", "Ann and Bob.")])
    assert search("When is it open?") == "Opening hours: Open from 9 to 5."
    assert search("opened").startswith("Opening hours")
    assert search("Who is in the team?") == "Team: Ann and Bob."


def test_long_passages_are_cut() -> None:
    (line,) = search_tool([("", "word " * 1000)])("word").split("\n")
    assert len(line) == 500 and line.endswith("…")


@pytest.mark.parametrize("query", ["", "of the", "zebra", "?!", '"', "* NEAR(", "\0"])
def test_queries_without_an_answer(query: str) -> None:
    assert pocket_search()(query) == NO_RESULTS


@given(st.text(max_size=60))
def test_no_query_is_an_error(query: str) -> None:
    assert pocket_search()(query)


def test_threads_may_search_at_once() -> None:
    search = search_tool([("", f"page number{i}") for i in range(50)])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(search, [f"number{i % 50}" for i in range(400)]))
    assert found == [f"page number{i % 50}" for i in range(400)]


def test_a_folder_of_documents_is_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "pump.md").write_text(
        "# Pump\n\nChange the filter\nin May.\n\n\nOil: 5 l."
    )
    (tmp_path / "faq.jsonl").write_text('{"text": "Call Ann.", "title": "Help"}\n\n{"text": "Hi"}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    search = search_tool(read_documents(tmp_path))
    assert search("When to change filters?") == "pump: Change the filter in May."
    assert search("help") == "Help: Call Ann."
    assert search("hi") == "Hi"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "ok"}\n{"text"', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"body": "x"}', "a.jsonl, line 1: write"),
        ("a.jsonl", b"[1]", "a.jsonl, line 1: write"),
        ("a.txt", b"\xff\xfe\x00", "a.txt is not UTF-8"),
        ("a.pdf", b"%PDF", "holds no .txt, .md or .jsonl"),
    ],
)
def test_documents_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DocumentError, match=message):
        list(read_documents(tmp_path))
    with pytest.raises(DocumentError, match="no folder"):
        list(read_documents(tmp_path / "none"))
