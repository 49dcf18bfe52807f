"""GTA's 14 tools, and which of the paper's tools does the same (the table of docs/evaluation.md).

The paper evaluates agents with its own tools on GTA and does not publish its rule for ToolAcc, nor
which of its tools stand for which of GTA's. This table is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from pydantic import JsonValue

from sport.evals.gta.data import Call

Family = Literal["perception", "operation", "logic", "creativity"]

FAMILIES: dict[str, Family] = {
    "OCR": "perception",
    "ImageDescription": "perception",
    "RegionAttributeDescription": "perception",
    "TextToBbox": "perception",
    "DrawBox": "operation",
    "AddText": "operation",
    "GoogleSearch": "operation",
    "Calculator": "logic",
    "Solver": "logic",
    "Plot": "logic",
    "MathOCR": "logic",
    "CountGivenObject": "logic",
    "TextToImage": "creativity",
    "ImageStylization": "creativity",
}
"""The families by which the benchmark counts its F1 figures (P, O, L, C)."""


@dataclass(frozen=True)
class Counterpart:
    """What does the work of one of GTA's tools in the paper's set.

    Attributes:
        tools: The paper's tools, the usual one first; none where code does it.
        arguments: Arguments of the usual one, as templates over those of GTA's tool.
    """

    tools: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()


def _seen(question: str) -> tuple[tuple[str, str], ...]:
    return (("question", question), ("image_path", "{image}"))


COUNTERPARTS: dict[str, Counterpart] = {
    "OCR": Counterpart(("ocr",), (("image_path", "{image}"),)),
    "MathOCR": Counterpart(("ocr",), (("image_path", "{image}"),)),
    "ImageDescription": Counterpart(("visualizer",), _seen("Describe the image.")),
    "RegionAttributeDescription": Counterpart(
        ("visualizer",), _seen("What is the {attribute} of the region {bbox}?")
    ),
    "CountGivenObject": Counterpart(
        ("visualizer", "objectlocation"), _seen("How many {text} are there? {bbox}")
    ),
    "TextToBbox": Counterpart(
        ("objectlocation",), (("object", "{text}"), ("image_path", "{image}"))
    ),
    "GoogleSearch": Counterpart(("ask_search_agent",), (("query", "{query}"),)),
    "TextToImage": Counterpart(("image_generator",), (("prompt", "{keywords}"),)),
    "ImageStylization": Counterpart(
        ("image_edit",), (("prompt", "{instruction}"), ("image_path", "{image}"))
    ),
    "AddText": Counterpart(
        ("image_edit",),
        (("prompt", "Write {text} at {position}. {color}"), ("image_path", "{image}")),
    ),
    "DrawBox": Counterpart(
        ("image_edit",),
        (("prompt", "Draw a box at {bbox}. {annotation}"), ("image_path", "{image}")),
    ),
    "Calculator": Counterpart(()),
    "Solver": Counterpart(()),
    "Plot": Counterpart(()),
}
"""By GTA's name. Calculator, Solver and Plot are Python: the code agent's own language."""

_FIELD = re.compile(r"\{(\w+)\}")


def counterparts(name: str) -> frozenset[str]:
    """The paper's tools that do what the tool ``name`` does: its own name for one of them."""
    if name in COUNTERPARTS:
        return frozenset(COUNTERPARTS[name].tools)
    return frozenset((name,))


def chain(names: tuple[str, ...]) -> list[frozenset[str]]:
    """A chain of calls for ToolAcc: in the paper's tools, without Python and ``final_answer``."""
    mapped = (counterparts(name) for name in names if name != "final_answer")
    return [tools for tools in mapped if tools]


def as_paper(call: Call) -> Call | None:
    """A gold call as a call of the paper's usual tool; ``None`` where that is Python."""
    counterpart = COUNTERPARTS.get(call.name)
    if counterpart is None or not counterpart.tools:
        return None

    def fill(template: str) -> str:
        return _FIELD.sub(lambda m: str(call.arguments.get(m[1], "")), template).strip()

    arguments: dict[str, JsonValue] = {k: fill(template) for k, template in counterpart.arguments}
    return call.model_copy(update={"name": counterpart.tools[0], "arguments": arguments})


def base_name(path: str) -> str:
    """The name of a file, whatever machine wrote its path."""
    return PurePosixPath(path.replace("\\", "/")).name
