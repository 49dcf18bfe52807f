"""Tools with models behind them: tiny random ones of the real classes, from folders in a recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

import tiny_models
from sport.assemble import POCKET
from sport.recipes import load_recipe
from sport.tools.builtin import BUILTIN
from sport.tools.config import ToolSettings
from sport.tools.function import Tool
from sport.tools.load import ToolNotFound, load_tools
from sport.workbench import Workbench

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's folder with a folder of each model."""
    root = tmp_path_factory.mktemp("models")
    for name in ("owlv2", "grounding_dino", "sam2", "whisper"):
        getattr(tiny_models, name)(root / name)
    return root


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    Image.fromarray(skimage_data.chelsea()).save(tmp_path / "cat.png", compress_level=1)
    return tmp_path


def made(name: str, root: Path, **options: Any) -> Tool:
    return load_tools([name], BUILTIN, root, {name: ToolSettings(**options)})[name]


def call(tool: Tool, workspace: Path, *args: Any) -> Any:
    return tool(workspace, tool.bind(args, {}))


@pytest.mark.parametrize("model", ["owlv2", "grounding_dino"])
def test_detectors_give_boxes_within_the_picture(model: str, models: Path, workspace: Path) -> None:
    tool = made("objectlocation", models, model=model, threshold=0.0)
    boxes = call(tool, workspace, "red cat", "cat.png")
    assert boxes and boxes == sorted(boxes, key=lambda b: (b[1], b[0]))
    for x1, y1, x2, y2 in boxes:
        assert 0 <= x1 < x2 <= 451 and 0 <= y1 < y2 <= 300
    assert call(tool, workspace, "red cat", "cat.png") == boxes
    strict = made("objectlocation", models, model=model, threshold=1.0)
    assert call(strict, workspace, "red cat", "cat.png") == []
    with pytest.raises(ValueError, match="name what to find"):
        call(tool, workspace, " ", "cat.png")


def test_sam_gives_a_mask_of_each_box(models: Path, workspace: Path) -> None:
    tool = made("segmentation", models, model="sam2")
    name = call(tool, workspace, "cat.png", [[10, 10, 200, 200], [50, 50, 400, 290]])
    labels = np.asarray(Image.open(workspace / name))
    assert labels.shape == (300, 451) and set(np.unique(labels)) <= {0, 1, 2} and labels.any()
    alone = np.asarray(Image.open(workspace / call(tool, workspace, "cat.png")))
    assert alone.shape == (300, 451) and alone.any()
    none = np.asarray(Image.open(workspace / call(tool, workspace, "cat.png", [])))
    assert not none.any()


def test_tools_that_are_first_called_at_once_load_one_after_another(
    models: Path, tmp_path: Path
) -> None:
    """In a process of its own, since the libraries must not have been imported before."""
    script = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from PIL import Image
from sport.tools.builtin import BUILTIN

models, workspace = Path(sys.argv[1]), Path(sys.argv[2])
Image.new("RGB", (64, 48), "red").save(workspace / "p.png")
calls = [
    (BUILTIN["objectlocation"](model=models / "owlv2"), {"object": "cat", "image_path": "p.png"}),
    (BUILTIN["segmentation"](model=models / "sam2"), {"image_path": "p.png"}),
    (BUILTIN["objectlocation"](model=models / "grounding_dino"),
     {"object": "cat", "image_path": "p.png"}),
] * 2
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda call: call[0](workspace, call[1]), calls))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(models), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_pictures_enter_sam_as_its_own_processor_lets_them(models: Path) -> None:
    """Without torchvision there is nothing to compare with."""
    pytest.importorskip("torchvision", reason="SAM 2's own image processor needs torchvision")
    from transformers import Sam2ImageProcessor

    from sport.tools.sam2 import _entering

    pixels = skimage_data.chelsea()
    theirs = Sam2ImageProcessor(size={"height": 128, "width": 128})(pixels, return_tensors="pt")
    assert np.abs(theirs["pixel_values"] - _entering(pixels, 128)).mean() < 0.02


def test_whisper_writes_recordings_down(models: Path, workspace: Path) -> None:
    tool = made("inspect_file_as_text", models, whisper="whisper")
    tone = np.sin(np.arange(8000 * 35) * 0.3).astype(np.float32)
    for name in ("tone.wav", "tone.flac"):
        soundfile.write(workspace / name, np.stack([tone, tone], axis=1), 8000)
        assert isinstance(call(tool, workspace, name), str)
    (workspace / "noise.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match="noise.wav.*cannot be listened to"):
        call(tool, workspace, "noise.wav")
    deaf = made("inspect_file_as_text", models)
    with pytest.raises(
        ValueError, match=r"no Whisper model.*\[tool.inspect_file_as_text\] whisper"
    ):
        call(deaf, workspace, "tone.wav")


def test_recordings_are_resampled_without_a_change_of_pitch(tmp_path: Path) -> None:
    from sport.tools.speech import read_sound

    seconds = np.arange(44_100) / 44_100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), 44_100)
    sound = read_sound(tmp_path / "a.wav")
    assert len(sound) == 16_000 and np.abs(np.fft.rfft(sound)).argmax() == 440
    assert abs(sound.max() - 0.5) < 0.01


def test_a_model_in_a_folder_answers_about_pictures(models: Path, workspace: Path) -> None:
    tool = made("visualizer", models, model=str(POCKET))
    assert isinstance(call(tool, workspace, "What is it?", "cat.png"), str)


@pytest.mark.parametrize(
    ("tool", "key"),
    [("objectlocation", "model"), ("segmentation", "model"), ("visualizer", "model"),
     ("inspect_file_as_text", "whisper")],
)  # fmt: skip
def test_a_missing_folder_is_told_before_the_run_starts(
    tool: str, key: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'tools = ["ocr", "{tool}"]\nrounds = 0\n[synthesis]\n[tool.{tool}]\n{key} = "weights"\n'
    )
    with pytest.raises(ToolNotFound) as caught:
        Workbench(load_recipe(str(recipe))).check()
    assert f"[tool.{tool}] {key}" in str(caught.value)
    assert str(tmp_path / "weights") in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "has a broken config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'),
         "of the kind bert"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"<html>"),
         "has a broken model.safetensors"),
    ],
)  # fmt: skip
def test_a_broken_folder_is_told_with_the_mend(break_it: Any, message: str, tmp_path: Path) -> None:
    break_it(tiny_models.sam2(tmp_path / "weights"))
    with pytest.raises(ToolNotFound, match=rf"{message}.*hf download facebook/sam2"):
        made("segmentation", tmp_path, model="weights")


def test_results_of_another_model_are_not_used_again(models: Path) -> None:
    versions = [
        made("objectlocation", models, **options).version
        for options in ({"model": "owlv2"}, {"model": "owlv2"}, {"model": "grounding_dino"}, {})
    ]
    assert versions[0] == versions[1] and len(set(versions)) == 3 and versions[3] == ""
