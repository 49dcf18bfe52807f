"""What a run says of itself: on a terminal, elsewhere, and to those who watch its folder."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from made_run import explored
from sport.progress import STATE, Progress
from sport.types import Task


def said(terminal: bool, quiet: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, quiet=quiet, width=160)
    progress = Progress(console, heartbeat=0.1)
    progress.figure("round 0: AnsAcc 40.0%")
    with progress.activity("round 1: exploring", 4, 1) as activity:
        for step in explored(Task(id="t", query="?")).steps:
            activity.tally.step(step)
        activity.tally.answer(True)
        activity.tally.answer(None)
        activity.tally.spent = lambda: "spent: 1 of 5 money"
        activity.advance()
        time.sleep(0.6)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


@pytest.mark.parametrize("terminal", [True, False])
def test_all_that_a_run_counts_is_said(terminal):
    text = said(terminal)
    for part in (
        "round 1: exploring", "2/4", "2 steps", "6 candidates", "a second", "s left",
        "AnsAcc so far 100.0% of 1", "1 abstained", "errors: NameError 1, unparsed 1",
        "spent: 1 of 5 money", "round 0: AnsAcc 40.0%",
    ):  # fmt: skip
        assert part in text
    assert text.count("round 1: exploring") > 2, "nothing was said while it went on"


def test_quiet_says_nothing():
    assert said(True, quiet=True) == said(False, quiet=True) == ""


def test_those_who_watch_the_folder_know_how_it_ended(tmp_path):
    progress = Progress(Console(quiet=True), heartbeat=0.1)

    def state():
        return json.loads((tmp_path / STATE).read_text())

    with progress.recorded(tmp_path, "sport run x"):
        with progress.activity("exploring", 3) as activity:
            activity.advance()
            time.sleep(0.3)
            assert (state()["state"], state()["done"], state()["total"]) == ("running", 1, 3)
    assert state()["state"] == "ended"
    for error, word in ((KeyboardInterrupt(), "stopped"), (ValueError("no"), "failed")):
        with pytest.raises(type(error)), progress.recorded(tmp_path, "sport run x"):
            raise error
        assert (state()["state"], state()["again"]) == (word, "sport run x")


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_ends_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sport", "run", "pocket-quick", "--out", str(tmp_path / "run")]
    leader, follower = pty.openpty()
    run = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    text, interrupted = b"", False
    while True:
        try:
            text += os.read(leader, 65536)
        except OSError:
            break
        if b"steps" in text and not interrupted:
            interrupted = True
            os.kill(run.pid, signal.SIGINT)
    assert run.wait(timeout=60) == 130
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode(errors="replace"))
    assert "Stopped. Everything that was finished is kept; go on with: sport run" in shown
    assert "Traceback" not in shown
    assert json.loads((tmp_path / "run" / STATE).read_text())["state"] == "stopped"
    assert (tmp_path / "run" / "run.log").stat().st_size > 0
