"""What a tool is, as JSON: for other agents, and for a replay that has to do without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sport.tools.function import Tool

PROPERTIES = (
    "deterministic",
    "side_effects",
    "cost",
    "timeout_s",
    "concurrency",
    "version",
    "origin",
)
"""What is declared of a tool, beside its signature."""


def input_schema(tool: Tool, file: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON schema of a tool's arguments.

    Args:
        tool: The tool.
        file: Schema of a file argument; if not given, it is the path of a file.
    """
    found: dict[str, Any] = {}
    for p in tool.parameters:
        schema = p.adapter.json_schema()
        if p.is_file and file is not None:
            several = p.type.startswith(("list", "tuple", "set"))
            schema = {"type": "array", "items": dict(file)} if several else dict(file)
        found[p.name] = (
            schema if p.required or p.default is None else schema | {"default": p.default}
        )
    required = [p.name for p in tool.parameters if p.required]
    return {"type": "object", "properties": found, "required": required}


def card(tool: Tool) -> dict[str, Any]:
    """All that a prompt and a sandbox need to know of a tool."""
    return {
        "name": tool.name,
        "signature": tool.signature,
        "description": tool.description,
        "input": input_schema(tool),
        "properties": {key: getattr(tool, key) for key in PROPERTIES},
    }
