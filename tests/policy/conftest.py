from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sport.pocket.model import build_model
from sport.types import File


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> tuple[Any, Any]:
    """A tiny model with random weights, and its processor."""
    model, processor = build_model(
        seed=0, hidden=64, layers=2, heads=2, vision_hidden=32, vision_layers=2
    )
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(8)
        # Sharp attention, so that a wrong position or key shows.
        for layer in model.model.language_model.layers:
            layer.self_attn.q_proj.weight.mul_(10)
            layer.self_attn.k_proj.weight.mul_(10)
    return model, processor


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[File]:
    folder = tmp_path_factory.mktemp("blobs")
    files = []
    for k in range(4):
        sha = f"{k:064d}"
        path = folder / sha[:2] / sha
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, "png")
        files.append(File(name=f"image_{k}.png", sha256=sha, media_type="image/png", blobs=folder))
    return files
