"""Keeps a child process: ends it, and all that it started, once its standard input is closed.

The kernel closes that pipe when the run ends, however it ends: also where the run is killed, no
model server is left behind on a GPU. It runs as a script of its own, in a session of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 15.0
"""How long a server may take to end by itself."""


def main(command: list[str]) -> int:
    """Runs a command until it ends or the standard input is closed; returns its exit status."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_default_signals)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 (goes to its log)
        return 127
    closed = threading.Event()
    watcher = threading.Thread(target=_end_with_input, args=(child, closed), daemon=True)
    watcher.start()
    status = child.wait()
    if closed.is_set():
        watcher.join()
    # What a server that ended by itself has left behind ends, too.
    os.killpg(0, signal.SIGTERM)
    return status


def _default_signals() -> None:
    # What is ignored here would be ignored there, too.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_input(child: subprocess.Popen[bytes], closed: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    closed.set()
    # Its group is this process's own: workers that the server started belong to it, too.
    os.killpg(0, signal.SIGTERM)
    ends = time.monotonic() + GRACE_S
    while child.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
