"""Searching: the right price list first, always; any text is a query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sport.pocket.corpus import documents
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
