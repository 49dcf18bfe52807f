"""The built-in tools by name; each is made, and what it needs is loaded, when it is asked for.

The keywords of a maker are the options that a recipe gives it as ``[tool.NAME]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from sport.remote.config import ServerSettings
from sport.tools.base import Tool, ToolNotFound
from sport.tools.web.providers import Provider
from sport.tools.weights import needs

_MODEL_S = 600.0
"""How long a model's answer may take, in seconds: calls wait for each other, and the first one
loads the weights."""


def _ocr() -> Tool:
    from sport.tools.ocr import ocr

    return Tool(ocr, deterministic=True, timeout_s=120)


def _facedetection(model: Path | None = None) -> Tool:
    from sport.tools.facedetection import face_detector

    return Tool(face_detector(model), deterministic=True)


def _objectlocation(model: Path | None = None, threshold: float = 0.1, device: str = "cpu") -> Tool:
    if model is not None:
        from sport.tools.detectors import detector_tool

        found = detector_tool(model, threshold, device)
        return Tool(found, deterministic=True, timeout_s=_MODEL_S)
    from sport.tools.objectlocation import objectlocation

    return Tool(objectlocation, deterministic=True)


def _segmentation(model: Path | None = None, device: str = "cpu") -> Tool:
    from sport.tools.segmentation import grab_cut, segmentation_tool

    if model is not None:
        from sport.tools.sam2 import sam2_segmenter

        segment = segmentation_tool(sam2_segmenter(model, device))
        return Tool(segment, deterministic=True, timeout_s=_MODEL_S)
    return Tool(segmentation_tool(grab_cut), deterministic=True, timeout_s=120)


def _image_generator(
    model: Path | None = None,
    server: ServerSettings | None = None,
    device: str = "cpu",
    steps: int = 30,
) -> Tool:
    from sport.tools import diffusion

    if model is not None:
        make = diffusion.pipeline_generator(model, device, steps)
    elif server is not None:
        make = diffusion.endpoint_generator(server)
    else:
        diffusion.no_generator()
    return Tool(diffusion.generator_tool(make), deterministic=True, timeout_s=_MODEL_S)


def _image_edit(
    model: Path | None = None,
    server: ServerSettings | None = None,
    device: str = "cpu",
    steps: int = 30,
) -> Tool:
    if model is None and server is None:
        from sport.tools.image_edit import image_edit

        return Tool(image_edit, deterministic=True)
    from sport.tools import diffusion

    if model is not None:
        edit = diffusion.pipeline_editor(model, device, steps)
    elif server is not None:
        edit = diffusion.endpoint_editor(server)
    return Tool(diffusion.editor_tool(edit), deterministic=True, timeout_s=_MODEL_S)


def _ask_search_agent(
    provider: Provider | None = None,
    corpus: Path | None = None,
    url: str | None = None,
    key_env: str | None = None,
    server: ServerSettings | None = None,
    results: int = 8,
    max_steps: int = 8,
    allow: tuple[str, ...] = (),
) -> Tool:
    from sport.tools.search import pocket_search

    if provider is None and corpus is None:
        return Tool(pocket_search(), deterministic=True)
    if provider is not None and corpus is not None:
        raise ToolNotFound("[tool.ask_search_agent] give either provider or corpus, not both")
    from sport.tools.documents import read_documents
    from sport.tools.endpoint import Endpoint
    from sport.tools.web import agent, guard, providers

    model = None if server is None else Endpoint(server, "ask_search_agent")
    if corpus is not None:
        search, read = providers.corpus(read_documents(corpus), results)
        ask = agent.search_agent(search, read, model, max_steps, trusted=True)
        return Tool(ask, deterministic=True, timeout_s=_MODEL_S)
    assert provider is not None
    needs("ask_search_agent with a provider", "markitdown", "documents")
    guarded = guard.Guard(frozenset(allow))
    found = providers.search_engine(provider, guarded, url, key_env, results)
    ask = agent.search_agent(found, agent.web_reader(guarded), model, max_steps)
    return Tool(ask, timeout_s=_MODEL_S)


def _visualizer(
    server: ServerSettings | None = None,
    model: Path | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Tool:
    if server is not None:
        from sport.tools.looking import endpoint_visualizer

        return Tool(endpoint_visualizer(server), deterministic=True, timeout_s=_MODEL_S)
    if model is not None:
        from sport.tools.looking import model_visualizer

        look = model_visualizer(model, device, dtype)
        return Tool(look, deterministic=True, timeout_s=_MODEL_S)
    from sport.tools.visualizer import visualizer

    return Tool(visualizer, deterministic=True)


def _inspect_file_as_text(
    server: ServerSettings | None = None, whisper: Path | None = None, device: str = "cpu"
) -> Tool:
    from sport.tools.inspect_file import file_inspector

    return Tool(file_inspector(whisper, server, device), deterministic=True, timeout_s=_MODEL_S)


BUILTIN: Mapping[str, Callable[..., Tool]] = {
    "ocr": _ocr,
    "facedetection": _facedetection,
    "objectlocation": _objectlocation,
    "segmentation": _segmentation,
    "image_generator": _image_generator,
    "image_edit": _image_edit,
    "ask_search_agent": _ask_search_agent,
    "visualizer": _visualizer,
    "inspect_file_as_text": _inspect_file_as_text,
}
"""Makers of the built-in tools. Without options ``ask_search_agent`` searches the pocket world's
price lists."""
