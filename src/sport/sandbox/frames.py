"""The channel between host and worlds: length-capped JSON frames, never pickle.

A frame is four bytes of length, big-endian, and that many bytes of JSON: an object.
Standard library only: worlds use this, too.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

HEADER = struct.Struct("!I")
LARGEST = 4 << 20
"""Bytes of one frame; a longer one ends the world that sent it."""

MOST_FDS = 96

# Taken now: a candidate may patch the module json.
_encode = json.JSONEncoder().encode
_decode = json.JSONDecoder(parse_constant=str).decode


class BadFrame(ValueError):
    """What came over the channel is not a frame."""


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes.

    Raises:
        BadFrame: It is too long.
    """
    body = _encode(message).encode()
    if len(body) > LARGEST:
        raise BadFrame(f"a message of {len(body)} bytes; at most {LARGEST}")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """The length that a header announces.

    Raises:
        BadFrame: It is too long.
    """
    (length,) = HEADER.unpack(header)
    if length > LARGEST:
        raise BadFrame(f"a frame of {length} bytes was announced; at most {LARGEST}")
    return int(length)


def unpack(body: bytes) -> dict[str, Any]:
    """A message from a frame's body.

    Raises:
        BadFrame: It is not a JSON object, or one that nests too deeply.
    """
    try:
        message = _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise BadFrame("not a JSON object")
    return message


class Channel:
    """The world's end: blocking."""

    def __init__(self, sock: socket.socket) -> None:
        """Takes over ``sock``."""
        self._socket = sock

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Sends a message; one with descriptors must be short."""
        if fds:
            socket.send_fds(self._socket, [pack(message)], fds)
        else:
            self._socket.sendall(pack(message))

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message, and the descriptors that came with it.

        Raises:
            EOFError: The host is gone.
        """
        # Descriptors come with the first byte of a frame.
        header, fds, _, _ = socket.recv_fds(
            self._socket, HEADER.size, MOST_FDS, socket.MSG_CMSG_CLOEXEC
        )
        header += self._exactly(HEADER.size - len(header)) if header else b""
        if not header:
            raise EOFError
        return unpack(self._exactly(body_length(header))), list(fds)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._socket.recv(count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def detach(self) -> int:
        """Gives the descriptor away."""
        return self._socket.detach()
