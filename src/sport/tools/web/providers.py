"""Search engines: SearXNG, Serper, Tavily, DuckDuckGo, and documents on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote_plus

from sport.remote.keys import Key
from sport.tools.load import ToolNotFound
from sport.tools.search import Index
from sport.tools.web.guard import Guard, WebError
from sport.tools.weights import needs

Provider = Literal["searxng", "serper", "tavily", "duckduckgo"]


@dataclass(frozen=True)
class Hit:
    """One result of a search."""

    title: str
    url: str
    text: str


Search = Callable[[str], list[Hit]]


def search_engine(
    provider: Provider, guard: Guard, url: str | None, key_env: str | None, most: int
) -> Search:
    """A search by one of the providers.

    Args:
        provider: Which one.
        guard: Makes the requests; the provider's own host must be public or allowed.
        url: Its base address, where it is not the usual one; SearXNG has none.
        key_env: The variable with its key; Serper and Tavily want one.
        most: Results wanted.

    Raises:
        ToolNotFound: An address, a key's variable or a package is missing.
        RemoteError: The key is not there.
    """
    if provider == "duckduckgo":
        return _duckduckgo(most)
    if provider == "searxng":
        if url is None:
            raise ToolNotFound("[tool.ask_search_agent] url is missing: the address of a SearXNG")
        return _searxng(guard, url.rstrip("/"), most)
    if key_env is None:
        raise ToolNotFound(
            f"[tool.ask_search_agent] key_env is missing: the variable with the key of {provider}"
        )
    key = Key.read(key_env)
    if provider == "serper":
        return _serper(guard, (url or "https://google.serper.dev").rstrip("/"), key, most)
    return _tavily(guard, (url or "https://api.tavily.com").rstrip("/"), key, most)


def corpus(documents: Iterable[tuple[str, str]], most: int) -> tuple[Search, Callable[[str], str]]:
    """A search over documents, and what gives a document by the address of its hit."""
    held = list(documents)
    index = Index(held)

    def search(query: str) -> list[Hit]:
        found = index.find(query, most)
        return [Hit(title, f"document:{number}", text) for number, title, text in found]

    def read(url: str) -> str:
        number = url.removeprefix("document:")
        if not number.isdigit() or int(number) >= len(held):
            raise WebError(f"there is no document {url!r}: give the address of a hit")
        return held[int(number)][1]

    return search, read


def _searxng(guard: Guard, url: str, most: int) -> Search:
    def search(query: str) -> list[Hit]:
        answer = _json(guard, f"{url}/search?format=json&q={quote_plus(query)}")
        return _hits(answer, "results", ("title", "url", "content"), most)

    return search


def _serper(guard: Guard, url: str, key: Key, most: int) -> Search:
    def search(query: str) -> list[Hit]:
        secret = key.headers()["Authorization"].removeprefix("Bearer ")
        answer = _json(guard, f"{url}/search", {"q": query, "num": most}, {"X-API-KEY": secret})
        return _hits(answer, "organic", ("title", "link", "snippet"), most)

    return search


def _tavily(guard: Guard, url: str, key: Key, most: int) -> Search:
    def search(query: str) -> list[Hit]:
        body = {"query": query, "max_results": most}
        answer = _json(guard, f"{url}/search", body, key.headers())
        return _hits(answer, "results", ("title", "url", "content"), most)

    return search


def _duckduckgo(most: int) -> Search:
    needs("ask_search_agent with duckduckgo", "ddgs", "websearch")

    def search(query: str) -> list[Hit]:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        try:
            found = DDGS(timeout=20).text(query, backend="duckduckgo", max_results=most)
        except DDGSException as error:
            raise WebError(f"the search engine does not answer: {error}") from None
        return _hits({"found": found}, "found", ("title", "href", "body"), most)

    return search


def _json(
    guard: Guard,
    url: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if body is not None else {}
    # A redirect could carry the key elsewhere.
    page = guard.fetch(url, data, {**kind, **(headers or {})}, redirects=0)
    try:
        return json.loads(page.content)
    except ValueError:
        raise WebError("the search engine's answer is no JSON") from None


def _hits(answer: Any, key: str, names: Sequence[str], most: int) -> list[Hit]:
    rows = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise WebError(f"the search engine's answer holds no {key!r}")
    fields = [[str(row.get(n) or "") for n in names] for row in rows if isinstance(row, Mapping)]
    return [Hit(title, url, text) for title, url, text in fields if url][:most]
