"""Sockets that only this machine reaches."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A socket at a port of the loopback, which does not listen yet.

    Args:
        port: The port; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
    except OSError:
        found.close()
        raise
    return found
