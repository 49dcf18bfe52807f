"""A new user's path: twenty photographs, ten seeds, one command, thirty checked tasks."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fault_server import FaultServer
from library.sample_pictures import SAMPLES
from sport.store import Run
from sport.synthesis.folder import read_drafts, read_figures
from synthesis.scripted import Body, needs, query_of, stage_of, tasks, verdict

PHOTOS = {
    "astronaut.png": "an astronaut in an orange suit",
    "brick.png": "a wall of bricks",
    "camera.png": "a man behind a film camera on a tripod",
    "cell.png": "a living cell under the microscope",
    "chelsea.png": "a tabby kitten",
    "china.jpg": "a pagoda with a curved roof",
    "clock_motion.png": "a blurred clock on a mantelpiece",
    "coffee.png": "a cup of espresso",
    "coins.png": "greek coins in rows",
    "color.png": "a wheel of colours",
    "flower.jpg": "a dahlia in bloom",
    "grass.png": "blades of grass",
    "gravel.png": "grey gravel stones",
    "hubble_deep_field.jpg": "distant galaxies",
    "ihc.png": "stained tissue in a laboratory",
    "moon.png": "craters of the moon",
    "motorcycle_left.png": "a motorcycle in a garage",
    "page.png": "a printed page",
    "retina.jpg": "the retina of an eye",
    "rocket.jpg": "a rocket at its launch pad",
}
SEEDS = 10
RECIPE = """
tools = ["ocr", "objectlocation"]
[synthesis]
kind = "llm"
tasks_per_round = 30
seeds = "seeds.jsonl"
pictures = ["my photos"]
[synthesis.server]
url = "{url}"
model = "writer"
[evaluation]
held_out = 0.0001
"""
ASKED = ("How many edges has {} from left to right", "Where in the frame lies {}",
         "What share of the frame does {} fill")  # fmt: skip


def played(body: Body) -> list[str]:
    """Ten queries of sixty, other ones for another request; every fifth is not solvable."""
    stage = stage_of(body)
    if stage == "queries":
        every = [ask.format(caption) for ask in ASKED for caption in PHOTOS.values()]
        start = body["seed"] % len(every)
        some = [every[(start + 7 * i) % len(every)] for i in range(10)]
        return [tasks([(query, ["objectlocation"]) for query in some])]
    query = query_of(body)
    if stage == "needs":
        [caption] = [c for c in PHOTOS.values() if c in query]
        return [needs(("photo", caption))]
    return [verdict(solvable=len(query) % 5 > 0)]


def test_thirty_tasks_out_of_twenty_photographs(tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name, caption in PHOTOS.items():
        shutil.copy(next(s / name for s in SAMPLES if (s / name).is_file()), folder)
        (folder / name).with_suffix(".txt").write_text(caption)
    seeds = [{"query": f"Seed {i}: where is thing number {i}?"} for i in range(SEEDS)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(s) + "\n" for s in seeds))
    with FaultServer(says=played) as server:
        (tmp_path / "mine.toml").write_text(RECIPE.format(url=server.url))
        command = [sys.executable, "-m", "sport", "synth", "mine.toml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        asked = len(server.requests)
    assert "round 1 has 30 tasks" in done.stdout and "round 1 has 30 tasks" in again.stdout
    assert asked == len({json.dumps(r["messages"]) + str(r["seed"]) for r in server.requests})
    run = Run.open(tmp_path / "runs" / "mine")
    made = run.tasks(round=1)
    uses = Counter(file.source for task in made for file in task.files)
    assert len(made) == 30 and len(uses) > 10 and max(uses.values()) <= 3
    for task in made:
        assert task.files[0].caption in task.query, "the picture is the one that is asked about"
    found = read_figures(run, "round-1")
    assert found is not None and found.fates["not solvable"] > 0
    assert sum(found.fates.values()) == len(read_drafts(run, "round-1"))
