"""What a tool returns: values and files, kept as JSON, and brought into a workspace."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sport.tools.paths import add_file

LARGEST_FILE = 64 << 20
"""Bytes of one file that a tool makes."""

_FILE = "$file"


@dataclass(frozen=True)
class MadeFile:
    """A file that a tool made, held in memory."""

    name: str
    data: bytes


def deliver(workspace: Path, result: Any) -> JsonValue:
    """A result as JSON; files in it (``Path`` or :class:`MadeFile`) are copied to the workspace.

    Raises:
        TypeError: It holds what is neither JSON nor a file.
        ValueError: It holds a file larger than :data:`LARGEST_FILE`.
    """

    def add(file: MadeFile | Path) -> JsonValue:
        source = file.data if isinstance(file, MadeFile) else file
        _check_size(file.name, len(source) if isinstance(source, bytes) else source.stat().st_size)
        return add_file(workspace, file.name, source)

    return _mapped(result, add)


def encode(result: Any) -> JsonValue:
    """A result as JSON that holds the bytes of its files; :func:`decode` reverses it.

    Raises:
        TypeError, ValueError: As :func:`deliver`.
    """

    def inline(file: MadeFile | Path) -> JsonValue:
        data = file.data if isinstance(file, MadeFile) else file.read_bytes()
        _check_size(file.name, len(data))
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
        _check_size(result.name, result.stat().st_size)
        return MadeFile(result.name, result.read_bytes())
    if isinstance(result, Mapping):
        return {key: detached(value, folder) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [detached(value, folder) for value in result]
    return result


def _check_size(name: str, size: int) -> None:
    if size > LARGEST_FILE:
        raise ValueError(f"the tool made {name}, {size >> 20} MiB: at most {LARGEST_FILE >> 20}")


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
