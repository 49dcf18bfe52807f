"""Embeddings that a server makes: asked in batches, checked, and told where they fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fault_server import FaultServer, expected
from library.test_images_command import sport
from sport.library import Library, LibraryError
from sport.library.embed import SentenceFolder
from sport.library.endpoint import EmbeddingServer
from sport.remote.config import ServerSettings
from sport.remote.faults import RemoteError
from sport.remote.ledger import Ledger, of_models


def numbers(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Vectors of three numbers that tell texts apart, from the last text to the first."""
    rows = [
        {"index": i, "embedding": [3.0, float(len(text)), i / 7]}
        for i, text in enumerate(body["input"])
    ]
    return rows[::-1]


def opened(server: FaultServer, ledger: Ledger | None = None, **changes: Any) -> EmbeddingServer:
    quick = {"url": server.url, "backoff_s": 0.01, "attempt_timeout_s": 0.5, "attempts": 12}
    settings = ServerSettings.model_validate({**quick, **changes})
    return EmbeddingServer(settings, "BAAI/bge-m3", ledger)


def test_vectors_come_in_order_and_of_length_one() -> None:
    texts = ["x" * number for number in range(1, 101)]
    with FaultServer(embeds=numbers) as server:
        embedder = opened(server, concurrency=2)
        vectors = embedder.embed(texts)
        assert embedder.embed([]).shape == (0, 3)
    assert (embedder.name, embedder.dimension) == ("BAAI-bge-m3-3", 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[:, 1] / vectors[:, 0] * 3, range(1, 101), rtol=1e-5)
    assert [len(r["input"]) for r in server.requests[1:]] == [32, 32, 32, 4]
    assert server.requests[0]["model"] == "BAAI/bge-m3"
    assert server.requests[0]["encoding_format"] == "float"


def test_what_fails_is_asked_again_and_counted() -> None:
    faults = ("429", "503", "reset", "stall", "truncated", "garbage", "not UTF-8", "content type")
    ledger = Ledger()
    with FaultServer(embeds=numbers, rate=0.4, faults=faults, seed=1) as server:
        vectors = opened(server, ledger).embed(["a", "bb"] * 200)
    assert vectors.shape == (400, 3) and server.injected
    [(account, usage)] = of_models(ledger._pending)
    assert (account.role, account.model) == ("embedder", "BAAI/bge-m3")
    assert usage.faults == expected(server.injected) and usage.requests == len(server.requests)
    assert usage.tokens_in >= 400 and usage.tokens_out == 0


def changed(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Good answers to a single text, and changed ones to more."""
    return lambda body: (
        numbers(body) if len(body["input"]) == 1 else change(sorted(numbers(body), key=str))
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "1 vectors for 2 texts"),
        (lambda rows: [*rows, rows[0]], "3 vectors for 2 texts"),
        (lambda rows: [rows[0], rows[0]], "numbered oddly"),
        (lambda rows: [{**row, "index": str(row["index"])} for row in rows], "numbered oddly"),
        (lambda rows: [{**row, "index": False} for row in rows], "numbered oddly"),
        (lambda rows: [{**row, "embedding": [1.0, 2.0]} for row in rows], "list of 3 numbers"),
        (lambda rows: [{**row, "embedding": [1.0, 2.0, None]} for row in rows], "3 numbers"),
        (lambda rows: [{**row, "embedding": ["1", "2", "3"]} for row in rows], "3 numbers"),
        (lambda rows: [{**row, "embedding": "AACAPw=="} for row in rows], "3 numbers"),
        (lambda rows: [{**row, "embedding": [0, 0, 0]} for row in rows], "zero or not finite"),
        (lambda rows: [{**row, "embedding": [1e300, 1, 1]} for row in rows], "not finite"),
        (lambda rows: "vectors", "no embeddings"),
        (lambda rows: [1, 2], "no embeddings"),
    ],
)
def test_answers_are_checked(change: Callable[[list[dict[str, Any]]], Any], words: str) -> None:
    with FaultServer(embeds=changed(change)) as server:
        embedder = opened(server, attempts=2)
        with pytest.raises(RemoteError, match=words):
            embedder.embed(["one", "another"])
        assert len(server.requests) == 3


def test_what_will_not_mend_itself_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-planted")
    with FaultServer(embeds=numbers, refuses=(401, "sk-planted is wrong")) as server:
        with pytest.raises(RemoteError, match="MY_KEY") as caught:
            opened(server, key_env="MY_KEY")
    assert len(server.requests) == 1 and "sk-planted" not in str(caught.value)
    assert server.requests[0]["headers"]["Authorization"] == "Bearer sk-planted"
    said = "This model's maximum context length is 512 tokens"
    with FaultServer(embeds=numbers, refuses=(400, said)) as server:
        with pytest.raises(LibraryError, match=r"9 characters is too long .*512 tokens"):
            opened(server)
    with FaultServer(embeds=numbers, rate=1, faults=("stall",)) as server:
        with pytest.raises(RemoteError, match="gave up after 0.3 s"):
            opened(server, attempt_timeout_s=0.2, total_timeout_s=0.3)


def test_it_is_asked_from_within_an_event_loop_and_from_threads() -> None:
    async def main() -> list[Any]:
        return [embedder.embed(["a"]), await asyncio.to_thread(embedder.embed, ["a"])]

    with FaultServer(embeds=numbers) as server:
        embedder = opened(server)
        first, second = asyncio.run(main())
    np.testing.assert_allclose(first, second)


def test_a_library_is_searched_by_the_vectors_of_a_server(photos, tmp_path, model) -> None:
    folder = SentenceFolder(model)

    def embeds(body: dict[str, Any]) -> list[dict[str, Any]]:
        vectors = 2 * folder.embed(body["input"])
        return [{"index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]

    with FaultServer(embeds=embeds) as server:
        at = ("--library", tmp_path / "library")
        options = ("--embeddings-url", server.url, "--embeddings-model", "mini")
        added = sport("add", photos, *at, *options)
        assert added.exit_code == 0 and "9 embedded" in added.output, added.output
        found = sport("search", "stars of the universe", *at, *options, "-n", "1")
        assert "hubble_deep_field.jpg" in found.output
        again = sport("add", photos, *at, *options)
        assert "0 embedded" in again.output and "9 by mini-384" in sport("stats", *at).output
        assert sum(len(r["input"]) for r in server.requests) == 9 + 1 + 3

        # What a library was filled with by a server is what a model of its own would give.
        library = Library.open(tmp_path / "library", EmbeddingServer(settings(server), "mini"))
        local = Library.open(tmp_path / "local", folder)
        local.add([photos])
        given, made = (
            {h.caption: h.similarity for h in x.search("a cat")} for x in (library, local)
        )
        assert list(given) == list(made), (given, made)
        assert given == pytest.approx(made, abs=1e-4) and len(given) == 9
    assert library.stats().vectors == {"mini-384": 9}


def settings(server: FaultServer) -> ServerSettings:
    return ServerSettings(url=server.url)


def test_options_of_a_server_belong_together(photos, tmp_path) -> None:
    add = ("add", photos, "--library", tmp_path / "library")
    url = ("--embeddings-url", "http://127.0.0.1:9/v1")
    for options, words in (
        (url, "--embeddings-url and --embeddings-model go together"),
        (("--embeddings-model", "m"), "go together"),
        ((*url, "--embeddings-model", "m", "--embedder", photos), "name two models"),
        (("--embeddings-url", "localhost", "--embeddings-model", "m"), "is no address"),
        (
            (*url, "--embeddings-model", "m", "--embeddings-key-env", "NOT_SET_HERE"),
            "NOT_SET_HERE is not set",
        ),
    ):
        result = sport(*add, *options)
        assert result.exit_code == 1 and "Traceback" not in result.output
        assert words in " ".join(result.output.split())
    assert not (tmp_path / "library").exists()
