"""A viewer that is really served, over a run made by hand."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from made_run import fill
from sport.recipes import parse_recipe
from sport.store import Run
from sport.view.app import make_app
from sport.view.book import Book


@dataclass
class Served:
    """A viewer on loopback."""

    port: int
    book: Book

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, path: str, method: str = "GET", body: str = "", **headers: str
    ) -> tuple[int, str]:
        """Status and text of an answer; the path is sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, named)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        self.headers = dict(answer.getheaders())
        connection.close()
        return answer.status, text


def serve(*folders: Path) -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    book = Book(folders)
    book.update()
    app = make_app(book, [f"127.0.0.1:{port}", f"localhost:{port}"])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(port, book)
    server.should_exit = True
    thread.join(20)
    listener.close()


def make_run(folder: Path, text: str = "") -> Run:
    recipe = parse_recipe({"name": "demo", "root": str(folder), "synthesis": {}}, "demo.toml")
    run = Run.create(folder, recipe)
    fill(run, text)
    run.close()
    return run


@pytest.fixture
def serving() -> Iterator[Callable[..., Served]]:
    """Serves runs until the test ends."""
    served: list[Iterator[Served]] = []

    def start(*folders: Path) -> Served:
        served.append(serve(*folders))
        return next(served[-1])

    yield start
    for one in served:
        next(one, None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A served run; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "demo")
    yield from serve(folder)
