"""Folders with the weights of models: checked before a run starts, loaded at the first call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

from safetensors import SafetensorError, safe_open

from sport.tools.load import ToolNotFound

T = TypeVar("T")

_LOADING = threading.Lock()
"""Models load one after another: two threads that import parts of transformers at once can meet it
half imported."""


class OnFirstCall(Generic[T]):
    """A model that is loaded when it is first used, and used by one thread at a time."""

    def __init__(self, load: Callable[[], T]) -> None:
        """Takes what loads it."""
        self._load = load
        self._lock = threading.Lock()
        self._loaded: list[T] = []

    @contextmanager
    def use(self) -> Iterator[T]:
        """The model, for the block alone."""
        with self._lock:
            if not self._loaded:
                with _LOADING:
                    self._loaded.append(self._load())
            yield self._loaded[0]


def model_kind(tool: str, folder: Path, examples: Mapping[str, str]) -> str:
    """The kind of model in a folder, whose weights are there and whole as far as their heads tell.

    Args:
        tool: The tool that it is for.
        folder: The folder, as ``save_pretrained`` or the model hub lays it out.
        examples: The kinds that the tool can use (``model_type`` of a ``config.json``, or the word
            ``diffusers``), each with a model of the hub that is of that kind.

    Raises:
        ToolNotFound: The folder is missing or broken, or holds another kind; says how to get one.
    """
    kinds = ", ".join(examples)
    example = next(iter(examples.values()))

    def lacking(what: str) -> ToolNotFound:
        return ToolNotFound(
            f"[tool.{tool}] model: {folder} {what}. Give the folder of a model of one of these "
            f"kinds: {kinds}; `hf download {example} --local-dir {folder}` gets one"
        )

    if not folder.is_dir():
        raise lacking("is not there" if not folder.exists() else "is no folder")
    pipeline = "diffusers" in examples
    index = folder / ("model_index.json" if pipeline else "config.json")
    try:
        config = json.loads(index.read_text(encoding="utf-8"))
        kind = "diffusers" if pipeline else str(config["model_type"])
    except OSError:
        raise lacking(f"has no {index.name}") from None
    except (ValueError, KeyError, TypeError):
        raise lacking(f"has a broken {index.name}") from None
    if kind not in examples:
        raise lacking(f"holds a model of the kind {kind}")
    broken = _broken_weights(folder)
    if broken is not None:
        raise lacking(broken)
    return kind


def _broken_weights(folder: Path) -> str | None:
    """What is wrong with the weights below a folder, if anything."""
    files = [f for f in folder.rglob("*.safetensors") if f.is_file()]
    if not files:
        return None if any(folder.rglob("*.bin")) else "holds no weights (*.safetensors)"
    for file in files:
        try:
            with safe_open(file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            return f"has a broken {file.relative_to(folder)} ({error})"
    return None


def needs(tool: str, package: str, extra: str) -> None:
    """Checks that a package is installed, which an extra of this one brings.

    Raises:
        ToolNotFound: It is not.
    """
    if find_spec(package) is None:
        raise ToolNotFound(
            f"{tool} needs the package {package}: pip install 'sport-agents[{extra}]'"
        )
