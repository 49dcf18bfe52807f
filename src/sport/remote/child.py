"""A model server as a child of the run: started, waited for, put to sleep, and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from sport.remote import keeper
from sport.remote.config import SECRET, ServeSettings
from sport.remote.faults import RemoteError
from sport.remote.keys import HIDDEN

_NO_SLEEP = (
    'Start vLLM with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1, or set while_tuning = "stop".'
)
_SHOWN = 12
_LOOK_S = 0.2


class ChildServer:
    """One server, in one of three states: not running, running, or asleep.

    What it prints goes to a log, without the values of any variable that looks like a secret.
    """

    def __init__(
        self, settings: ServeSettings, url: str, log: Path, hidden: Sequence[str] = ()
    ) -> None:
        """Starts nothing yet.

        Args:
            settings: How it is started and freed.
            url: Its base address, as clients use it.
            log: File of what it prints; sessions are appended.
            hidden: Variables that it does not get: keys of other servers.
        """
        parts = urlsplit(url)
        self._settings = settings
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._log = log
        self._hidden = frozenset(hidden)
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._asleep = False
        self.model: str | None = None

    @property
    def running(self) -> bool:
        """Whether it runs, awake or asleep."""
        return self._process is not None and self._process.poll() is None

    def start(self, model: str) -> None:
        """Starts it with a model and waits until it is healthy; wakes it where it sleeps.

        Raises:
            RemoteError: It ends, or does not become healthy in time; names its log.
        """
        if self.running and self.model == model:
            self._wake()
            return
        self.stop()
        self._refuse_a_taken_port()
        command = [_filled(part, model, self._port) for part in self._settings.command]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            start_new_session=True,
        )
        self.model, self._asleep = model, False
        assert self._process.stdout is not None
        self._pump = threading.Thread(
            target=_pump, args=(self._process.stdout, self._log, secrets(os.environ)), daemon=True
        )
        self._pump.start()
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def free(self) -> None:
        """Gives its GPU memory back while something else needs it, as the settings say."""
        if not self.running or self._settings.while_tuning == "stay":
            return
        if self._settings.while_tuning == "stop":
            self.stop()
        elif not self._asleep:
            self._post("/sleep?level=1", _NO_SLEEP)
            self._asleep = True

    def stop(self) -> None:
        """Ends it, with all that it started; does nothing where it does not run."""
        process, self._process, self.model = self._process, None, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(keeper.GRACE_S + 15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._pump is not None:
            self._pump.join(5)

    def _wake(self) -> None:
        if self._asleep:
            self._post("/wake_up", "See its log.")
            self._asleep = False
            self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        ends = time.monotonic() + self._settings.start_timeout_s
        while time.monotonic() < ends:
            assert self._process is not None
            status = self._process.poll()
            if status is not None:
                raise self._failed(f"ended with status {status} before it was healthy")
            if self._healthy():
                return
            time.sleep(_LOOK_S)
        raise self._failed(f"was not healthy within {self._settings.start_timeout_s:g} s")

    def _healthy(self) -> bool:
        try:
            with _open(self._root + self._settings.health, timeout_s=5) as answer:
                return bool(200 <= answer.status < 300)
        except (OSError, HTTPException):
            return False

    def _post(self, path: str, mend: str) -> None:
        try:
            with _open(self._root + path, timeout_s=120, method="POST"):
                pass
        except (OSError, HTTPException) as error:
            raise RemoteError(f"{self._root}{path}: {error}. {mend}") from None

    def _refuse_a_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex((self._host, self._port)) == 0:
                raise RemoteError(
                    f"serve: something listens on {self._host}:{self._port} already. Give another "
                    "port in the server's url, or leave [….serve] out to use what is there."
                )

    def _environment(self) -> dict[str, str]:
        hidden = self._hidden | {f"{name}_FILE" for name in self._hidden}
        return {**{k: v for k, v in os.environ.items() if k not in hidden}, **self._settings.env}

    def _failed(self, what: str) -> RemoteError:
        if self._pump is not None and not self.running:
            self._pump.join(5)
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = "\n".join(f"  {line}" for line in lines[-_SHOWN:])
        return RemoteError(
            f"serve: the server `{self._settings.command[0]}` {what}. Its log is {self._log}; it "
            f"ends with:\n{told}"
        )


def secrets(environment: Mapping[str, str]) -> list[bytes]:
    """The values of variables that look like secrets, the longest first."""
    found = {v for k, v in environment.items() if SECRET.search(k) and len(v) >= 6}
    return [v.encode() for v in sorted(found, key=len, reverse=True)]


def _pump(source: IO[bytes], log: Path, hidden: Sequence[bytes]) -> None:
    with source, log.open("ab") as target:
        for line in source:
            for value in hidden:
                line = line.replace(value, HIDDEN.encode())
            target.write(line)
            target.flush()


def _filled(part: str, model: str, port: int) -> str:
    return part.replace("{model}", model).replace("{port}", str(port))


def _open(url: str, timeout_s: float, method: str = "GET") -> HTTPResponse:
    # Never through a proxy: it is a child of this process.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: HTTPResponse = opener.open(
        urllib.request.Request(url, method=method), timeout=timeout_s
    )
    return answer
