"""GTA's file: 229 questions over pictures, each with a gold chain of tool calls.

The layout, as the benchmark's authors publish it: an object of items by number; an item has
``tools``, ``files`` (paths of pictures, which are a download of their own), ``dialogs`` (the
question; turns of the assistant with ``tool_calls``; the tools' results) and ``gt_answer``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sport.types import Record

FILES = ("gta_dataset.json", "dataset.json")
"""What the file of items is called."""


class GTAError(ValueError):
    """GTA's data cannot be used; names the file, the item and the mend."""


class Published(BaseModel):
    """Base of what the file holds: only what is used is checked."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Argument(Published):
    """A parameter of a tool."""

    name: str
    type: str
    optional: bool = False
    default: JsonValue = None


class ToolText(Published):
    """A tool as an item lists it."""

    name: str
    description: str = ""
    inputs: tuple[Argument, ...] = ()


class Picture(Published):
    """A file of an item."""

    path: str


class _Function(Published):
    name: str
    arguments: dict[str, JsonValue]


class _Call(Published):
    function: _Function


class _Turn(Published):
    role: Literal["user", "assistant", "tool"]
    content: JsonValue = None
    thought: str = ""
    tool_calls: tuple[_Call, ...] = ()


class Whitelist(Published):
    """The gold answer of an item that is answered in text."""

    whitelist: tuple[tuple[str, ...], ...]
    blacklist: tuple[tuple[str, ...], ...] | None = None


class _Item(Published):
    tools: tuple[ToolText, ...]
    files: tuple[Picture, ...]
    dialogs: tuple[_Turn, ...] = Field(min_length=1)
    gt_answer: Whitelist | tuple[str, ...] | None = None


class Call(Record):
    """A gold call of a tool.

    Attributes:
        name: GTA's name of the tool.
        arguments: As recorded.
        result: The recorded result: a text, or the path of a picture that is not published.
        picture: Whether it is the path of a picture.
        recorded: Whether there is a result at all.
    """

    name: str
    arguments: dict[str, JsonValue]
    result: str = ""
    picture: bool = False
    recorded: bool = True


class Turn(Record):
    """A gold turn of the assistant: a call of a tool, an answer, or both."""

    thought: str = ""
    call: Call | None = None
    answer: str | None = None


class Item(Record):
    """One question.

    Attributes:
        id: Its number, as text.
        query: The question.
        tools: The tools that it may be answered with.
        pictures: Paths below the data's folder.
        turns: The gold turns.
        gt_answer: As published: an object with ``whitelist`` and ``blacklist``, a list of
            sentences, or ``None`` where the answer is a picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: str
    query: str
    tools: tuple[ToolText, ...]
    pictures: tuple[str, ...]
    turns: tuple[Turn, ...]
    gt_answer: dict[str, Any] | list[str] | None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The gold chain."""
        return tuple(turn.call for turn in self.turns if turn.call is not None)

    @property
    def kind(self) -> str:
        """What the answer is: ``text``, ``sentences`` or ``picture``."""
        if self.gt_answer is None:
            return "picture"
        return "text" if isinstance(self.gt_answer, dict) else "sentences"


def find_data(path: Path) -> Path:
    """The file of items: ``path``, or the one in the folder ``path``.

    Raises:
        GTAError: There is none.
    """
    if path.is_file():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise GTAError(
        f"{path}: GTA's questions are not there. Give --data the folder (or the file) of "
        f"{' or '.join(FILES)} from the benchmark's release, https://github.com/open-compass/GTA."
    )


def load_items(path: Path) -> list[Item]:
    """The items, in the order of the file.

    Args:
        path: The file, or its folder.

    Raises:
        GTAError: It cannot be read; says where.
    """
    file = find_data(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GTAError(f"{file} cannot be read as JSON: {error}. Download it anew.") from None
    if not isinstance(data, dict) or not data:
        raise GTAError(f"{file}: GTA's file is one object with the items by number")
    return [_item(file, key, value) for key, value in data.items()]


def missing_pictures(file: Path, items: Sequence[Item]) -> list[str]:
    """The pictures that are not below the file's folder."""
    wanted = dict.fromkeys(path for item in items for path in item.pictures)
    return [path for path in wanted if not (file.parent / path).is_file()]


def _item(file: Path, key: str, value: Any) -> Item:
    try:
        read = _Item.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise GTAError(f"{file}, item {key}: {where}: {first['msg']}") from None
    first_turn = read.dialogs[0]
    if first_turn.role != "user" or not isinstance(first_turn.content, str):
        raise GTAError(f"{file}, item {key}: its dialog does not begin with a question")
    gold = read.gt_answer
    return Item(
        id=key,
        query=first_turn.content,
        tools=read.tools,
        pictures=tuple(picture.path for picture in read.files),
        turns=tuple(_turns(read.dialogs)),
        gt_answer=gold.model_dump(mode="json")
        if isinstance(gold, Whitelist)
        else gold and list(gold),
    )


def _turns(dialogs: Sequence[_Turn]) -> Iterator[Turn]:
    for turn, after in zip(dialogs, [*dialogs[1:], None], strict=True):
        if turn.role != "assistant":
            continue
        answer = turn.content if isinstance(turn.content, str) else None
        calls = [call.function for call in turn.tool_calls]
        if not calls:
            yield Turn(thought=turn.thought, answer=answer)
            continue
        # The published dialogs make one call a turn, and answer it in the next.
        recorded = after is not None and after.role == "tool"
        call = Call(name=calls[0].name, arguments=calls[0].arguments, recorded=False)
        yield Turn(
            thought=turn.thought,
            call=_with_result(call, after.content) if after and recorded else call,
            answer=answer,
        )


def _with_result(call: Call, content: JsonValue) -> Call:
    kind, value = "text", content
    if isinstance(content, dict):
        kind, value = str(content.get("type")), content.get("content")
    if not isinstance(value, str):
        return call
    picture = kind == "image"
    return call.model_copy(update={"result": value, "picture": picture, "recorded": True})
