"""The worked examples: their pictures can be read, their recipes hold, their tools work."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from sport.blobs import BlobStore
from sport.recipes import load_recipe
from sport.tasks import load_tasks, split_by_file
from sport.tools.load import load_tools
from sport.tools.ocr import ocr
from sport.types import Task

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = {
    "documents": "make_documents.py",
    "photographs": "make_photographs.py",
    "own_tool": "make_parcels.py",
}


def copy_of(name: str, folder: Path) -> Path:
    """An example's script and recipe, where they can write."""
    for file in (EXAMPLES / name).iterdir():
        if file.suffix in (".py", ".toml"):
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def load(folder: Path, blobs: Path) -> list[Task]:
    """The tasks of an example as a run takes them in."""
    recipe = load_recipe(str(folder / "recipe.toml"))
    assert recipe.tasks is not None
    return load_tasks(recipe.path(recipe.tasks), BlobStore(blobs), recipe.images.max_pixels)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of each example with its pictures and tasks; of the documents, a few."""
    folders = {name: copy_of(name, tmp_path_factory.mktemp(name)) for name in SCRIPTS}
    runpy.run_path(str(folders["documents"] / SCRIPTS["documents"]))["main"](
        folders["documents"], boards=10
    )
    for name in ("photographs", "own_tool"):
        subprocess.run([sys.executable, folders[name] / SCRIPTS[name]], check=True, timeout=120)
    return folders


@pytest.fixture(scope="session")
def tasks(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Task]]:
    """The tasks of each example."""
    blobs = tmp_path_factory.mktemp("blobs")
    return {name: load(folder, blobs) for name, folder in made.items()}


def character_error_rate(texts: dict[str, str], tasks: list[Task]) -> dict[str, float]:
    """Edit distance by length of what ``ocr`` reads in the pictures as they entered, by picture.

    Runs of white space count as one space.
    """
    pictures = {f.source: f for t in tasks for f in t.images}
    rates = {}
    for name, text in texts.items():
        truth, read = " ".join(text.split()), " ".join(ocr(pictures[name].path).split())
        rates[name] = Levenshtein.distance(truth, read) / len(truth)
    return rates


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_example_loads_and_can_be_held_out(
    made: dict[str, Path], tasks: dict[str, list[Task]], name: str
) -> None:
    share = load_recipe(str(made[name] / "recipe.toml")).evaluation.held_out
    explore, held = split_by_file(tasks[name], share)
    assert len(held) == pytest.approx(share * len(tasks[name]), abs=3)
    assert len(explore) + len(held) == len(tasks[name]) >= 10
    assert all(t.gold and t.images for t in tasks[name])


def test_the_scanned_page_and_photographed_boards_can_be_read(
    made: dict[str, Path], tasks: dict[str, list[Task]]
) -> None:
    texts = json.loads((made["documents"] / "texts.json").read_text())
    rates = character_error_rate(dict(list(texts.items())[:4]), tasks["documents"])
    assert rates["images/page.png"] <= 0.05
    assert max(rates.values()) <= 0.1, rates


@pytest.mark.slow
def test_all_documents_can_be_read(tmp_path: Path) -> None:
    folder = copy_of("documents", tmp_path)
    subprocess.run([sys.executable, folder / SCRIPTS["documents"]], check=True, timeout=120)
    texts = json.loads((folder / "texts.json").read_text())
    rates = character_error_rate(texts, load(folder, tmp_path / "blobs"))
    assert sum(rates.values()) / len(rates) <= 0.02
    assert max(rates.values()) <= 0.1, rates


def test_an_own_tool_is_three_lines_and_weighs(
    made: dict[str, Path], tasks: dict[str, list[Task]], tmp_path: Path
) -> None:
    source = (made["own_tool"] / "my_tools.py").read_text()
    assert len(source[source.index("def weigh") :].splitlines()) == 3
    recipe = load_recipe(str(made["own_tool"] / "recipe.toml"))
    weigh = load_tools(["my_tools:weigh"], {}, recipe.root)["weigh"]
    assert weigh.signature == "weigh(image_path: str) -> int"
    for task in tasks["own_tool"]:
        (tmp_path / "image_0.png").write_bytes(task.images[0].path.read_bytes())
        assert task.gold is not None
        assert weigh(tmp_path, {"image_path": "image_0.png"}) == task.gold.answer
