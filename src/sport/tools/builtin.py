"""The built-in tools by name; each is made, and what it needs is loaded, when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sport.tools.base import Tool


def _ocr() -> Tool:
    from sport.tools.ocr import ocr

    return Tool(ocr, deterministic=True, timeout_s=120)


def _objectlocation() -> Tool:
    from sport.tools.objectlocation import objectlocation

    return Tool(objectlocation, deterministic=True)


def _ask_search_agent() -> Tool:
    from sport.tools.search import pocket_search

    return Tool(pocket_search(), deterministic=True)


def _visualizer() -> Tool:
    from sport.tools.visualizer import visualizer

    return Tool(visualizer, deterministic=True)


BUILTIN: Mapping[str, Callable[[], Tool]] = {
    "ocr": _ocr,
    "objectlocation": _objectlocation,
    "ask_search_agent": _ask_search_agent,
    "visualizer": _visualizer,
}
"""Makers of the built-in tools. ``ask_search_agent`` searches the pocket world's price lists; make
one over other documents with :func:`sport.tools.search.search_tool`."""
