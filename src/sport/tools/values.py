"""What a tool returns: values and files, kept as JSON, and brought into a workspace."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sport.tools.paths import add_file

LARGEST_RESULT = 1 << 20
"""Characters of a result as JSON, its files left out."""

LARGEST_FILE = 64 << 20
"""Bytes of the files that one call makes."""

_FILE = "$file"


@dataclass(frozen=True)
class MadeFile:
    """A file that a tool made, held in memory."""

    name: str
    data: bytes


def check_size(result: Any) -> None:
    """Bounds what a tool returned, before anything is made of it.

    Raises:
        TypeError: It holds what is neither JSON nor a file.
        ValueError: It is larger than :data:`LARGEST_RESULT`, or its files than
            :data:`LARGEST_FILE`.
    """
    files = 0

    def measured(file: MadeFile | Path) -> JsonValue:
        nonlocal files
        files += len(file.data) if isinstance(file, MadeFile) else file.stat().st_size
        if files > LARGEST_FILE:
            raise ValueError(
                f"the tool made {file.name}, and {files >> 20} MiB of files: at most "
                f"{LARGEST_FILE >> 20} MiB in one call"
            )
        return file.name

    plain = _mapped(result, measured)
    size = len(plain) if isinstance(plain, str) else len(json.dumps(plain))
    if size > LARGEST_RESULT:
        raise ValueError(f"the result is too large: {size} characters, at most {LARGEST_RESULT}")


def deliver(workspace: Path, result: Any) -> JsonValue:
    """A result as JSON; files in it (``Path`` or :class:`MadeFile`) are copied to the workspace.

    Raises:
        TypeError: It holds what is neither JSON nor a file.
    """

    def add(file: MadeFile | Path) -> JsonValue:
        source = file.data if isinstance(file, MadeFile) else file
        return add_file(workspace, file.name, source)

    return _mapped(result, add)


def encode(result: Any) -> JsonValue:
    """A result as JSON that holds the bytes of its files; :func:`decode` reverses it.

    Raises:
        TypeError: As :func:`deliver`.
    """

    def inline(file: MadeFile | Path) -> JsonValue:
        data = file.data if isinstance(file, MadeFile) else file.read_bytes()
        return {_FILE: file.name, "data": base64.b64encode(data).decode()}

    return _mapped(result, inline)


def decode(value: Any) -> Any:
    """The result that :func:`encode` took."""
    if isinstance(value, dict):
        if value.keys() == {_FILE, "data"}:
            return MadeFile(Path(str(value[_FILE])).name, base64.b64decode(value["data"]))
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def files_in(result: Any) -> list[MadeFile]:
    """The files in memory that a result holds, in order."""
    if isinstance(result, MadeFile):
        return [result]
    if isinstance(result, Mapping):
        result = list(result.values())
    return [f for item in result for f in files_in(item)] if isinstance(result, list) else []


def named(result: Any) -> JsonValue:
    """A result as JSON in which the names of its files stand for them."""
    return _mapped(result, lambda file: file.name)


def detached(result: Any, folder: Path) -> Any:
    """The result, with files that lie in a folder that is about to go read into memory."""
    if isinstance(result, Path) and result.is_relative_to(folder):
        return MadeFile(result.name, result.read_bytes())
    if isinstance(result, Mapping):
        return {key: detached(value, folder) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [detached(value, folder) for value in result]
    return result


def _mapped(result: Any, file: Callable[[MadeFile | Path], JsonValue]) -> JsonValue:
    if isinstance(result, MadeFile | Path):
        return file(result)
    if isinstance(result, Mapping):
        return {str(key): _mapped(value, file) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [_mapped(value, file) for value in result]
    if result is None or isinstance(result, str | bool | int | float):
        return result
    if hasattr(result, "tolist"):  # numpy arrays and scalars
        return _mapped(result.tolist(), file)
    raise TypeError(
        f"the tool returned a {type(result).__name__}: it must return JSON values or a Path"
    )
