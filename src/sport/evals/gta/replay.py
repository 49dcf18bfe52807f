"""Tools that answer from GTA's recordings: agents can be evaluated without models of vision.

A call that was recorded gets its result. Any other call of the same tool on the same picture gets
the result of the nearest recorded one, and the distance is kept. Where there is none, the tool says
so, and the call is counted as unrecorded: nothing is ever invented.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import JsonValue
from rapidfuzz.distance import Indel

from sport.evals.gta.data import Argument, Call, Item
from sport.evals.gta.mapping import as_paper, base_name
from sport.tools.function import Tool
from sport.types import Record

Language = Literal["gta", "paper"]
"""Whose names the tools have: GTA's own, or the paper's."""

UNRECORDED = "(There is no recorded result of this call.)"
"""What a tool answers where GTA holds nothing."""

_FILES = ("image", "image_path")
_TYPES: Mapping[str, type] = {"int": int, "bool": bool, "float": float}

PAPER_TOOLS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "visualizer": (("question", "image_path"), "Answers a question about a picture."),
    "objectlocation": (("object", "image_path"), "Finds an object in a picture: its boxes."),
    "ocr": (("image_path",), "Reads the text in a picture."),
    "image_generator": (("prompt",), "Makes a picture from a description: its file."),
    "image_edit": (("prompt", "image_path"), "Changes a picture as told: the new file."),
    "ask_search_agent": (("query",), "Asks an agent that searches the web."),
}
"""The paper's tools that recordings can stand for: parameters and description."""


class Match(Record):
    """The recording that answered a call.

    Attributes:
        kind: How it was found.
        distance: Of the arguments, from 0 (equal) to 1.
        call: The gold call; ``None`` where there is none.
    """

    kind: Literal["exact", "nearest", "unrecorded"]
    distance: float = 0.0
    call: Call | None = None


@dataclass(frozen=True)
class _Entry:
    gold: Call
    spoken: Call


class Replay:
    """The recorded tools of one item."""

    def __init__(self, item: Item, names: Mapping[str, str], language: Language) -> None:
        """Opens the recordings.

        Args:
            item: The item.
            names: What the item's pictures are called in the workspace, by their base names.
            language: Whose names the tools have.
        """
        self._item = item
        self._names = names
        self._language = language
        self._entries = [_Entry(gold, said) for gold in item.calls if (said := self.say(gold))]

    def say(self, gold: Call) -> Call | None:
        """A gold call in the language of the tools; ``None`` where Python does its work."""
        spoken = gold if self._language == "gta" else as_paper(gold)
        if spoken is None:
            return None
        arguments = {k: self._file(v) if k in _FILES else v for k, v in spoken.arguments.items()}
        return spoken.model_copy(update={"arguments": arguments})

    def find(self, name: str, arguments: Mapping[str, JsonValue]) -> Match:
        """The recording that answers a call."""
        asked = self._plain(name, arguments)
        best = Match(kind="unrecorded")
        for entry in self._entries:
            kept = self._plain(entry.spoken.name, entry.spoken.arguments)
            if entry.spoken.name != name or not _same_files(asked, kept):
                continue
            distance = 0.0 if asked == kept else _distance(asked, kept)
            if best.call is None or distance < best.distance:
                kind: Literal["exact", "nearest"] = "exact" if asked == kept else "nearest"
                best = Match(kind=kind, distance=distance, call=entry.gold)
        if best.call is not None and not best.call.recorded:
            return Match(kind="unrecorded", distance=best.distance, call=best.call)
        return best

    def answer(self, name: str, arguments: Mapping[str, JsonValue]) -> str:
        """What a tool returns."""
        match = self.find(name, arguments)
        if match.kind == "unrecorded" or match.call is None:
            return UNRECORDED
        return base_name(match.call.result) if match.call.picture else match.call.result

    def tools(self) -> dict[str, Tool]:
        """The tools, by name: the item's own, or all of the paper's that it may be served by."""
        if self._language == "gta":
            return {
                text.name: self._tool(
                    text.name, text.description, self._inputs(text.inputs, text.name)
                )
                for text in self._item.tools
            }
        return {
            name: self._tool(name, text, [Argument(name=p, type="text") for p in parameters])
            for name, (parameters, text) in PAPER_TOOLS.items()
        }

    def _inputs(self, inputs: Sequence[Argument], name: str) -> list[Argument]:
        """A tool's parameters; what the gold chain itself leaves out may be left out."""
        gold = [call.arguments for call in self._item.calls if call.name == name]

        def optional(one: Argument) -> bool:
            return one.optional or any(one.name not in arguments for arguments in gold)

        return [one.model_copy(update={"optional": optional(one)}) for one in inputs]

    def _tool(self, name: str, description: str, inputs: Sequence[Argument]) -> Tool:
        fn = _function(name, partial(self._call, name), inputs)
        return Tool(fn, name=name, description=description, deterministic=False)

    def _call(self, name: str, **arguments: Any) -> str:
        return self.answer(name, arguments)

    def _file(self, value: JsonValue) -> JsonValue:
        if not isinstance(value, str):
            return value
        name = base_name(value)
        return self._names.get(name, name)

    def _plain(self, name: str, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Arguments as they are compared: files by name, defaults filled in."""
        listed = next((t.inputs for t in self._item.tools if t.name == name), ())
        filled = {i.name: i.default for i in listed if i.optional and i.default is not None}
        given = {k: v for k, v in arguments.items() if v is not None}
        said = {k: self._file(v) if k in _FILES else v for k, v in given.items()}
        return {**filled, **said}


def _function(name: str, call: Any, inputs: Sequence[Argument]) -> Any:
    def fn(**arguments: Any) -> str:
        return str(call(**arguments))

    order = sorted(inputs, key=lambda one: one.optional)
    types = {one.name: _TYPES.get(one.type, str) for one in order}
    fn.__name__ = name
    fn.__annotations__ = {**types, "return": str}
    fn.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=types[one.name],
                default=_default(one) if one.optional else inspect.Parameter.empty,
            )
            for one in order
        ],
        return_annotation=str,
    )
    return fn


def _default(argument: Argument) -> Any:
    kind = _TYPES.get(argument.type, str)
    return None if argument.default is None else kind(argument.default)


def _same_files(asked: Mapping[str, JsonValue], kept: Mapping[str, JsonValue]) -> bool:
    return all(asked.get(k) == kept[k] for k in _FILES if k in kept and k in asked)


def _distance(asked: Mapping[str, JsonValue], kept: Mapping[str, JsonValue]) -> float:
    texts = [
        json.dumps({k: v for k, v in a.items() if k not in _FILES}, sort_keys=True)
        for a in (asked, kept)
    ]
    return float(Indel.normalized_distance(*texts))
