"""What the tools return where they do their work perfectly, without any picture.

The embedded controller's demonstrations run on these, since drawing and reading pictures would
cost a hundred times more. A test holds them against the real tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sport.pocket.grammar import Problem, Scene
from sport.pocket.render import object_boxes
from sport.tools.objectlocation import parse_object
from sport.tools.search import pocket_search
from sport.tools.visualizer import BARS, OBJECTS, TEXT


class ReferenceTools:
    """Perfect tools for one problem; their formats are those of the real tools."""

    def __init__(self, problem: Problem) -> None:
        """Makes the tools for ``problem``; the picture is never drawn."""
        self._problem = problem

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name."""
        return {
            "ocr": self.ocr,
            "objectlocation": self.objectlocation,
            "ask_search_agent": pocket_search(),
            "visualizer": self.visualizer,
        }

    @cached_property
    def _boxes(self) -> list[tuple[Any, list[int]]]:
        return object_boxes(self._problem)

    def ocr(self, image_path: str | Path) -> str:
        """The sheet's lines; nothing in a scene."""
        picture = self._problem.picture
        return "" if isinstance(picture, Scene) else "\n".join(picture.lines)

    def objectlocation(self, object: str, image_path: str | Path) -> list[list[int]]:
        """Boxes ``[x1, y1, x2, y2]`` of the objects of a name, in reading order."""
        wanted = parse_object(object)
        if wanted is None:
            return []
        return [box for thing, box in self._boxes if wanted.fits(thing.colour, thing.shape)]

    def visualizer(self, question: str, image_path: str | Path) -> str:
        """The sentence that the real captioner has for this sort of picture."""
        picture = self._problem.picture
        if isinstance(picture, Scene):
            return OBJECTS
        return BARS if picture.layout == "chart" else TEXT
