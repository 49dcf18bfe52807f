"""The host's end of a channel to a world: asyncio, frames from an untrusted sender."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import Any

from sport.sandbox.frames import HEADER, body_length, pack, unpack

_CREDENTIALS = struct.Struct("iii")
_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size)
_BLOCK = 1 << 16


class WorldChannel:
    """Talks with one world, and knows from the kernel which process it talks with.

    Attributes:
        pid: Process, as the host numbers it, that sent the last message; 0 before the first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes a pair of sockets; :attr:`remote` is for the world, and closed once sent."""
        self._loop = loop
        self._local, self.remote = socket.socketpair()
        self._local.setblocking(False)
        self._local.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._buffer = bytearray()
        self._registered = False  # once a channel: registering costs more than a message
        self._waiting: asyncio.Future[None] | None = None
        self.pid = 0

    async def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            EOFError: The world is gone.
            BadFrame: It sent what is no frame.
        """
        while len(self._buffer) < HEADER.size:
            await self._more()
        end = HEADER.size + body_length(bytes(self._buffer[: HEADER.size]))
        while len(self._buffer) < end:
            await self._more()
        body = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return unpack(body)

    async def _more(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._local.recvmsg(_BLOCK, _SPACE)
                break
            except BlockingIOError:
                await self._readable()
            except OSError:
                raise EOFError from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid, _, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
                self.pid = pid or self.pid
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                _close_all(content)
        if not data:
            raise EOFError
        self._buffer += data

    async def _readable(self) -> None:
        if not self._registered:
            self._loop.add_reader(self._local, self._wake)
            self._registered = True
        self._waiting = self._loop.create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
            self._waiting = None
        else:
            self._unregister()  # nobody asked: it must not keep the loop busy

    def _unregister(self) -> None:
        if self._registered:
            self._loop.remove_reader(self._local)
            self._registered = False

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message.

        Raises:
            EOFError: The world is gone.
        """
        data = pack(message)
        try:
            sent = self._local.send(data)
            if sent < len(data):
                await self._loop.sock_sendall(self._local, data[sent:])
        except BlockingIOError:
            await self._loop.sock_sendall(self._local, data)
        except OSError:
            raise EOFError from None

    def send_fds(self, message: dict[str, Any], fds: list[int]) -> None:
        """Sends a short message with descriptors.

        Raises:
            EOFError: The world is gone, or does not listen.
        """
        try:
            socket.send_fds(self._local, [pack(message)], fds)
        except OSError:
            raise EOFError from None

    def hang_up(self) -> None:
        """Ends the connection, whoever holds the other end; callable from any thread."""
        with contextlib.suppress(OSError):  # closed already
            self._local.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes both ends; whoever waits in :meth:`receive` gets :class:`EOFError`."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(EOFError())
        self._unregister()
        self._local.close()
        self.remote.close()


def _close_all(content: bytes) -> None:
    """Nobody asked a world for descriptors."""
    for offset in range(0, len(content) - len(content) % 4, 4):
        os.close(struct.unpack_from("i", content, offset)[0])
