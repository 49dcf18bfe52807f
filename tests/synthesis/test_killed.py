"""`sport synth`, killed at random moments: it ends with the same tasks, and pays nothing twice."""

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault_server import FaultServer
from library.sample_pictures import PICTURES
from sport.jsonl import read_lines
from sport.store import Run
from synthesis.scripted import Body, needs, stage_of, tasks, verdict

Recipe = Callable[..., Path]
THINGS = ("lamp", "bridge", "violin", "kettle", "anchor", "ladder", "basket", "window", "candle")
VERBS = ("count", "find", "describe", "measure", "compare", "name", "locate", "read", "list")
MORE = """batch = 6
max_uses = 9
[evaluation]
held_out = 0.0001"""


def drawn(body: Body) -> tuple[str, random.Random]:
    """What tells this request from all others, and a draw of its own."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    return digest, random.Random(digest)


def played(body: Body) -> list[str]:
    """An answer that follows from the request alone, and is no other's."""
    digest, draw = drawn(body)
    stage = stage_of(body)
    if stage == "queries":
        words = [(draw.choice(VERBS), draw.choice(THINGS), draw.choice(THINGS)) for _ in range(6)]
        found = [
            (f"{verb} each {one} {draw.random():.4f} left of that {two}", ["objectlocation"])
            for verb, one, two in words
        ]
        return [f"{digest} {tasks(found)}"]
    if stage == "needs":
        caption = draw.choice(sorted(PICTURES.values()))
        wanted = ("chart", f"bars {digest}") if draw.random() < 0.3 else ("photo", caption)
        return [f"{digest} {needs(wanted)}"]
    if stage == "make":
        code = "from PIL import Image\nImage.new('RGB', (64, 48), 'teal').save('chart_0.png')"
        return [f"{digest}\n```py\n{code}\n```"]
    good = draw.random() < 0.7
    rewrite = f"what is {digest} beside every {draw.choice(THINGS)}" if draw.random() < 0.5 else ""
    return [f"{digest} {verdict(solvable=good, rewrite=rewrite)}"]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(says=played, latency_s=0.02) as running:
        yield running


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sport", "synth", str(recipe), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def taken(out: Path) -> set[str]:
    """What tells the answers apart that the run has taken."""
    lines = read_lines(out / "synthesis" / "round-1.jsonl")
    values = (json.loads(line)["value"] for line in lines)
    return {value.split()[0] for value in values if isinstance(value, str)}


def end_of(out: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    run = Run.open(out)
    return [(t.id, t.query, tuple(f.sha256 for f in t.files)) for t in run.tasks(round=1)]


@pytest.mark.parametrize(
    ("times", "count"), [(2, 12), pytest.param(20, 60, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment(
    place: Path, recipe: Recipe, server: FaultServer, times: int, count: int
) -> None:
    file = recipe(server.url, count, f"{MORE}\n")
    file.write_text(file.read_text() + "concurrency = 3\n")
    whole = start(file, place / "whole")
    told, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0, told
    server.requests.clear()

    marks: list[tuple[int, set[str]]] = []
    draw = random.Random(times)
    for _ in range(times):
        process, asked = start(file, place / "run"), len(server.requests)
        while len(server.requests) == asked and process.poll() is None:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.12))
        assert process.poll() is None, "it ended before it was killed so often: want more tasks"
        process.kill()
        process.communicate()
        marks.append((len(server.requests), taken(place / "run")))
    process = start(file, place / "run")
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told

    assert end_of(place / "run") == end_of(place / "whole") and len(end_of(place / "run")) > 0
    asked_for = [drawn({k: v for k, v in r.items() if k != "headers"})[0] for r in server.requests]
    for before, had in marks:
        assert had and had.isdisjoint(asked_for[before:]), "an answer that it had is paid again"
    assert len(asked_for) <= len(set(asked_for)) + 3 * times, "more is lost than was under way"
