"""A library of real photographs, seeds, and a recipe for which a played model writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from library.sample_pictures import captioned, embedding_model
from sport.library import Library
from synthesis.scripted import RECIPE, SEEDS, seeds_file


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder: captioned photographs, the library of them, and seeds."""
    photos = captioned(tmp_path / "photos")
    Library.open(tmp_path / "library").add([photos])
    (tmp_path / "seeds.jsonl").write_text(seeds_file(SEEDS))
    return tmp_path


@pytest.fixture
def recipe(place: Path) -> Callable[..., Path]:
    """Writes a recipe for a server."""

    def write(url: str, tasks: int = 3, more: str = "") -> Path:
        file = place / "own.toml"
        file.write_text(RECIPE.format(url=url, tasks=tasks, more=more))
        return file

    return write


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of all-MiniLM-L6-v2, which ships in a package."""
    return embedding_model()
