"""What is measured on stays apart from what is learnt from, whatever is added, drafted or alike."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.library import Entry, Library
from sport.pipeline import Pipeline
from sport.progress import Progress
from sport.recipes import load_recipe
from sport.store import Run
from sport.synthesis.split import held_out
from sport.types import File
from synthesis.scripted import Body, needs, stage_of, tasks, verdict

Recipe = Callable[..., Path]
OF_GAIA = "How many of the nine made-up birds sit on the lower of the two wires?"
OWN = "Which word stands first on the printed page?"


def entry(number: int, near: str = "") -> Entry:
    digest = f"{number:064x}"
    file = File(sha256=digest, name="image.png", media_type="image/png")
    return Entry(file=file, caption="x", near=near)


def test_pictures_that_nearly_equal_one_another_stay_together() -> None:
    pairs = [(entry(2 * i), entry(2 * i + 1, f"{2 * i:064x}")) for i in range(50)]
    held = held_out([picture for pair in pairs for picture in pair], 0.3)
    assert len(held) == 30
    for one, other in pairs:
        assert (one.file.sha256 in held) == (other.file.sha256 in held)


def test_many_alike_do_not_take_the_share_over() -> None:
    first = f"{0:064x}"
    pictures = [entry(0), *(entry(i, first) for i in range(1, 80)), *map(entry, range(80, 100))]
    assert held_out(pictures, 0.1) == held_out(reversed(pictures), 0.1)
    assert len(held_out(pictures, 0.1)) == 10 and first not in held_out(pictures, 0.1)


def test_where_all_are_alike_some_are_held_out_all_the_same() -> None:
    first = f"{0:064x}"
    alike = [entry(0), *(entry(i, first) for i in range(1, 80))]
    assert len(held_out(alike, 0.1)) == len(held_out(alike, 0.1, 4)) == 8
    assert held_out(alike, 0.1) == held_out(reversed(alike), 0.1)


def test_a_library_says_what_is_nearly_equal(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name, size in {"a": (200, 150), "b": (220, 165)}.items():
        Image.radial_gradient("L").resize(size).save(tmp_path / "photos" / f"{name}.png")
        (tmp_path / "photos" / f"{name}.txt").write_text(f"a gradient {name}")
    library = Library.open(tmp_path / "library")
    library.add([tmp_path / "photos"])
    one, other = library.pictures()
    assert [one.near, other.near].count("") == 1


@pytest.mark.parametrize("drafted", [[OWN, OF_GAIA], [OF_GAIA]])
def test_drafted_seeds_hold_no_benchmark(place: Path, recipe: Recipe, drafted: list[str]) -> None:
    (place / "gaia").mkdir()
    line = {"task_id": "g1", "Question": OF_GAIA, "Level": 1, "Final answer": "3"}
    (place / "gaia" / "metadata.jsonl").write_text(json.dumps(line) + "\n")

    def says(body: Body) -> list[str]:
        if stage_of(body) == "seeds":
            return [tasks([(query, ["ocr"]) for query in drafted])]
        if stage_of(body) == "queries":
            return [tasks([("How many flags stand beside the astronaut?", ["ocr"])])]
        if stage_of(body) == "needs":
            return [needs(("photo", "a smiling astronaut in an orange space suit"))]
        return [verdict()]

    more = f'waves = 1\n[evaluation]\nheld_out = 0.0001\nkeep_apart = ["{place / "gaia"}"]'
    with FaultServer(says=says) as server:
        file = recipe(server.url, 1, more)
        file.write_text(file.read_text().replace('seeds = "seeds.jsonl"', "from_tools = true"))
        done = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")])
    told = " ".join(done.output.split())
    assert OF_GAIA not in json.dumps([r["messages"] for r in server.requests])
    if drafted == [OF_GAIA]:
        assert done.exit_code == 1 and "all seeds that were drafted share words" in told
    else:
        assert done.exit_code == 0 and "1 of 2 share words with a benchmark" in told


def test_what_was_learnt_from_is_not_measured_on_later(place: Path, recipe: Recipe) -> None:
    """The library grows between the round and the tasks held out: the share has others in it."""
    asked = iter(range(1000))

    def says(body: Body) -> list[str]:
        if stage_of(body) == "queries":
            return [tasks([(f"What is {next(asked)} of {next(asked)}?", ["ocr"]) for _ in "0123"])]
        if stage_of(body) == "needs":
            return [needs(("photo", "grey square"))]
        return [verdict()]

    def add(numbers: range) -> None:
        (place / "more").mkdir(exist_ok=True)
        for i in numbers:
            noise = Image.effect_noise((64, 48), 60 + i)
            noise.save(place / "more" / f"{i}.png")
            (place / "more" / f"{i}.txt").write_text("grey square")
        Library.open(place / "library").add([place / "more"])

    add(range(3))
    more = "batch = 4\nmake_files = false\nmax_uses = 50\nwaves = 2\n[evaluation]\nheld_out = 0.5"
    with FaultServer(says=says) as server:
        file = recipe(server.url, 4, more)
        assert (
            CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")]).exit_code
            == 0
        )
        add(range(3, 23))
        with Run.create(place / "run", load_recipe(str(file), [])) as run:
            with Pipeline(run, Progress(Console(quiet=True))) as pipeline:
                measured = pipeline.source.evaluation("held-out")
    learnt = {f.sha256 for t in Run.open(place / "run").tasks(round=1) for f in t.files}
    assert learnt and measured
    assert learnt.isdisjoint(f.sha256 for t in measured for f in t.files)
