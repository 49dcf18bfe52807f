"""The page of the built-in tools says what they take."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sport.tools.builtin import BUILTIN
from sport.tools.config import ToolSettings
from sport.tools.load import ToolNotFound

PAGE = (Path(__file__).parents[2] / "docs" / "toolset.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)\(([^)]*)\)`", PAGE, re.MULTILINE))
PAPER = {
    "visualizer", "objectlocation", "facedetection", "segmentation", "ocr", "image_generator",
    "image_edit", "inspect_file_as_text", "ask_search_agent",
}  # fmt: skip


def test_the_set_is_that_of_the_paper_and_all_of_it_is_on_the_page() -> None:
    assert set(BUILTIN) == PAPER == set(ROWS)


@pytest.mark.parametrize("name", sorted(PAPER))
def test_arguments_are_as_the_page_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}
    if name == "image_generator":
        from sport.remote.config import ServerSettings

        options["server"] = ServerSettings(url="http://127.0.0.1:9/v1", model="x")
    tool = BUILTIN[name](**options)
    assert ", ".join(p.name for p in tool.parameters) == ROWS[name]
    assert "Args:" in tool.description and "Returns:" in tool.description


def test_options_in_the_recipes_of_the_page_are_those_of_the_tools() -> None:
    recipes = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
    assert recipes
    for recipe in recipes:
        for name, options in recipe["tool"].items():
            known = inspect.signature(BUILTIN[name]).parameters.keys() | ToolSettings.model_fields
            assert set(options) <= known


def test_a_generator_is_the_only_one_that_does_not_work_as_it_is() -> None:
    for name in PAPER - {"image_generator"}:
        BUILTIN[name]()
    with pytest.raises(ToolNotFound):
        BUILTIN["image_generator"]()
