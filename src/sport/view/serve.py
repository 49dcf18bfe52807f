"""Serving the viewer on loopback, until it is interrupted."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from sport.jsonl import StoreError
from sport.loopback import LOOPBACK, bound
from sport.view.app import make_app
from sport.view.book import Book


def serve(book: Book, port: int, browser: bool, said: Callable[[str], None]) -> None:
    """Serves the viewer until it is interrupted.

    Args:
        book: The runs.
        port: The port; 0 takes a free one.
        browser: Whether the browser is opened.
        said: Told the address.

    Raises:
        StoreError: The port is taken.
    """
    try:
        listener = bound(port)
    except OSError as error:
        raise StoreError(
            f"Port {port} cannot be used ({error.strerror}). Leave --port out to take a free one."
        ) from None
    port = listener.getsockname()[1]
    hosts = [f"{LOOPBACK}:{port}", f"localhost:{port}"]
    if port == 80:
        hosts += [LOOPBACK, "localhost"]
    address = f"http://{LOOPBACK}:{port}/"
    config = uvicorn.Config(
        make_app(book, hosts),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    listener.listen(128)  # before anybody is sent here
    said(address)
    if browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with listener:
        uvicorn.Server(config).run(sockets=[listener])
