"""Folders of real pictures, and a real embedding model."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from library.sample_pictures import captioned, embedding_model, sample
from sport.library import Library


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photographs, each with a text beside it."""
    return captioned(tmp_path / "photos")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.open(tmp_path / "library")


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of all-MiniLM-L6-v2, which ships in a package."""
    return embedding_model()


@pytest.fixture
def only(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of named copies of one sample picture."""

    def make(*names: str, of: str = "chelsea.png") -> Path:
        folder = tmp_path / "few"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample(of), folder / name)
        return folder

    return make
