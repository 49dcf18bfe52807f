"""Servers for attacks to reach: TCP, UDP and unix sockets, on this machine only."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from pathlib import Path
from typing import Any


class Servers:
    """They take what comes, in a thread, for as long as the block lasts.

    Attributes:
        received: All that they were sent, word for word.
        addresses: What attacks call them: ``port``, ``udp`` and ``unix``.
    """

    def __init__(self, folder: Path) -> None:
        """Sockets of the unix kind lie in ``folder``, open to all users."""
        self.received: set[str] = set()
        self._selector = selectors.DefaultSelector()
        path = str(folder / "socket")
        tcp = self._listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        udp = self._listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._listen(socket.AF_UNIX, socket.SOCK_STREAM, path)
        self._listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + path)
        self._listen(socket.AF_UNIX, socket.SOCK_DGRAM, path + ".datagrams")
        for socket_file in folder.glob("socket*"):
            socket_file.chmod(0o777)
        self.addresses: dict[str, Any] = {
            "port": tcp.getsockname()[1], "udp": udp.getsockname()[1], "unix": path
        }  # fmt: skip
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _listen(self, family: int, kind: int, address: Any) -> socket.socket:
        made = socket.socket(family, kind)
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen(16)
        self._selector.register(made, selectors.EVENT_READ, kind)
        return made

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select(0.1):
                ready: Any = key.fileobj
                if key.data == socket.SOCK_STREAM:
                    connection, _ = ready.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(2)
                        self.received.add(connection.recv(99).decode())
                else:
                    self.received.add(ready.recv(99).decode())

    def __enter__(self) -> Servers:
        """Starts."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops, and closes all."""
        self._closing.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
