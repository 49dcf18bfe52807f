"""Tools of the library smolagents as tools of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import smolagents
from PIL import Image
from smolagents import tool

from sport.tools.base import as_tool, load_tools


class Turn(smolagents.Tool):  # type: ignore[misc]
    name = "turn"
    description = "Turns a picture by a right angle."
    inputs = {
        "image": {"type": "image", "description": "The picture."},
        "times": {"type": "integer", "description": "How often.", "nullable": True},
    }
    output_type = "image"

    def forward(self, image: Image.Image, times: int | None = None) -> Image.Image:
        return image.rotate(90 * (times or 1), expand=True)


class Size(smolagents.Tool):  # type: ignore[misc]
    name = "size_of"
    description = "Counts the bytes of a file."
    inputs = {"file_path": {"type": "string", "description": "The file."}}
    output_type = "integer"

    def forward(self, file_path: str) -> int:
        return Path(file_path).stat().st_size


@tool  # type: ignore[untyped-decorator]
def add(a: int, b: int) -> int:
    """Adds.

    Args:
        a: One.
        b: Another.
    """
    return a + b


def test_signature_and_description() -> None:
    turn = as_tool(Turn())
    assert turn.signature == "turn(image: str, times: int | None = None) -> str"
    assert "Turns a picture" in turn.description and "times: How often." in turn.description
    assert (turn.deterministic, turn.side_effects, turn.origin) == (False, False, "smolagents")
    assert as_tool(add).signature == "add(a: int, b: int) -> int"


def test_pictures_are_files_of_the_workspace(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4), (0, 0, 255)).save(tmp_path / "in.png")
    turn = as_tool(Turn())
    assert turn(tmp_path, turn.bind(["in.png"], {})) == "image.png"
    with Image.open(tmp_path / "image.png") as turned:
        assert turned.size == (4, 8)


@pytest.mark.parametrize("path", ["/etc/hostname", "../x"])
def test_a_text_that_is_a_path_names_no_file_of_the_host(tmp_path: Path, path: str) -> None:
    size = as_tool(Size())
    with pytest.raises(PermissionError, match="outside the workspace"):
        size(tmp_path, {"file_path": path})
    (tmp_path / "a").write_bytes(b"123")
    assert size(tmp_path, {"file_path": "a"}) == 3


@pytest.mark.parametrize(
    ("args", "message"), [([1], "needs argument 'b'"), ([1, "x"], "wants int as 'b', got 'x'")]
)
def test_arguments_are_checked(args: list[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_tool(add).bind(args, {})


def test_a_recipe_names_it(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "from smolagents import Tool\n\nclass Say(Tool):\n    name = 'say'\n"
        "    description = 'Says.'\n    inputs = {}\n    output_type = 'string'\n"
        "    def forward(self):\n        return 'hi'\n\nsay_it = Say()\n"
    )
    assert load_tools(["theirs:say_it"], {}, tmp_path)["say"](tmp_path, {}) == "hi"
