"""Servers that a run starts: healthy before they are used, freed, and gone with the run."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from sport.remote.child import ChildServer
from sport.remote.config import ServeSettings
from sport.remote.faults import RemoteError

TOY = str(Path(__file__).with_name("toy_server.py"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def child(folder: Path, *more: str, port: int | None = None, **settings: Any) -> ChildServer:
    command = (sys.executable, "-S", TOY, "{model}", "--port", "{port}", *more)
    url = f"http://127.0.0.1:{port or free_port()}/v1"
    return ChildServer(
        ServeSettings(command=command, **settings), url, folder / "server.log", ("OTHER_KEY",)
    )


def log(folder: Path) -> str:
    return (folder / "server.log").read_text()


def worker(folder: Path) -> int:
    return int(log(folder).split("worker ")[1].split()[0])


def gone(pid: int) -> bool:
    """Whether a process ends within a few seconds."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_it_is_healthy_when_it_is_used_and_gone_with_its_workers_afterwards(tmp_path: Path) -> None:
    port = free_port()
    server = child(tmp_path, "--loads", "0.6", port=port)
    server.start("a/model")
    try:
        assert server.running and server.model == "a/model"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
    finally:
        server.stop()
    assert not server.running and "serving a/model" in log(tmp_path)
    assert gone(worker(tmp_path))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_another_model_restarts_it_and_the_same_one_does_not(tmp_path: Path) -> None:
    server = child(tmp_path)
    try:
        for model in ("one", "one", "two"):
            server.start(model)
        assert [x for x in log(tmp_path).splitlines() if x.startswith("serving")] == [
            "serving one",
            "serving two",
        ]
    finally:
        server.stop()


def test_its_log_holds_no_secret_and_it_gets_no_other_servers_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "sk-own-123456")
    monkeypatch.setenv("OTHER_KEY", "sk-other-123456")
    server = child(tmp_path)
    server.start("m")
    server.stop()
    assert "key [key] other None" in log(tmp_path)
    assert "sk-" not in log(tmp_path)


def test_a_server_that_ends_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = child(tmp_path, "--fails")
    with pytest.raises(RemoteError, match=r"(?s)ended with status 1.*server\.log.*out of memory"):
        server.start("m")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    settings = ServeSettings(command=("no-such-server", "{model}"))
    server = ChildServer(settings, f"http://127.0.0.1:{free_port()}/v1", tmp_path / "server.log")
    with pytest.raises(RemoteError, match=r"(?s)no-such-server.*No such file"):
        server.start("m")


def test_a_server_that_does_not_become_healthy_is_ended(tmp_path: Path) -> None:
    server = child(tmp_path, "--loads", "600", start_timeout_s=1.5)
    with pytest.raises(RemoteError, match=r"was not healthy within 1\.5 s"):
        server.start("m")
    assert not server.running


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = child(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(RemoteError, match="listens on"):
            server.start("m")


@pytest.mark.parametrize(
    ("while_tuning", "running", "asked"),
    [("stop", False, []), ("stay", True, []), ("sleep", True, ["/sleep?level=1", "/wake_up"])],
)
def test_it_makes_room_while_the_run_tunes(
    tmp_path: Path, while_tuning: str, running: bool, asked: list[str]
) -> None:
    server = child(tmp_path, while_tuning=while_tuning)
    try:
        server.start("m")
        server.free()
        assert server.running is running
        server.start("m")
        assert server.running
    finally:
        server.stop()
    told = [x.removeprefix("asked ") for x in log(tmp_path).splitlines() if x.startswith("asked")]
    assert told == asked


def test_nothing_is_left_where_the_run_itself_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from sport.remote.child import ChildServer
from sport.remote.config import ServeSettings
command = ({sys.executable!r}, "-S", {TOY!r}, "m", "--port", "{{port}}")
server = ChildServer(ServeSettings(command=command), "http://127.0.0.1:{free_port()}/v1",
                     Path({str(tmp_path / "server.log")!r}))
server.start("m")
print("up", flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "up\n"
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert gone(worker(tmp_path))
