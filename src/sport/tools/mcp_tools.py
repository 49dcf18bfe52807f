"""What MCP servers list, as tools: their schemas as signatures, their answers as values."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sport.tools.function import Tool
from sport.tools.mcp import McpServer
from sport.tools.mcp_session import McpError
from sport.tools.parameters import shaped
from sport.tools.schema import annotation, as_name, is_inline_file, parameters
from sport.tools.values import MadeFile, decode
from sport.untrusted import clip, shown

META = "sport"
"""Key of what servers of ours add to a tool and to a result."""

_LONGEST = 4_000
_MOST_TOOLS = 200
_TIMEOUT_S = 60.0


class ToolFailed(RuntimeError):
    """An MCP server's tool says that it failed; the text is its own."""


def server_tools(
    server: McpServer, only: str | None = None, limits: Mapping[str, float] = {}
) -> list[Tool]:
    """The tools of a server.

    Args:
        server: The server.
        only: Its name of the single tool that is wanted.
        limits: How long calls may take, in seconds, by our names of the tools.

    Raises:
        McpError: It cannot be reached, lists what cannot be called, or has no such tool.
    """
    listed = server.tools()
    if only is not None:
        names = [one.name for one in listed]
        listed = [one for one in listed if one.name == only]
        if not listed:
            raise McpError(
                f"the MCP server {server.name!r} has no tool {only!r}; it has: "
                f"{clip(shown(', '.join(names)), 500)}"
            )
    if not listed:
        raise McpError(f"the MCP server {server.name!r} has no tools")
    if len(listed) > _MOST_TOOLS:
        raise McpError(
            f"the MCP server {server.name!r} has {len(listed)} tools, more than a prompt should "
            f"hold: name those that you want one by one, as 'mcp:{server.name}/tool'"
        )
    return [_tool(server, one, limits) for one in listed]


def _tool(server: McpServer, listed: Any, limits: Mapping[str, float]) -> Tool:
    """A tool of ours over one that a server lists."""
    schema: Mapping[str, Any] = listed.input_schema
    try:
        name = as_name(listed.name)
        found, names = parameters(schema, paths=server.local)
    except (ValueError, TypeError) as error:
        raise McpError(
            f"the MCP server {server.name!r} lists {shown(listed.name)[:100]!r} with a schema that "
            f"cannot be used: {shown(str(error))[:200]}. Name its other tools one by one, as "
            f"'mcp:{server.name}/tool'"
        ) from None
    specs = {ours: schema["properties"][theirs] for ours, theirs in names.items()}
    notes = (listed.meta or {}).get(META, {})
    timeout_s = limits.get(name, float(notes.get("timeout_s", _TIMEOUT_S)))

    def call(**arguments: Any) -> Any:
        sent = {
            names[k]: _sent(specs[k], v)
            for k, v in arguments.items()
            if v is not None or _takes_none(specs[k])
        }
        return _value(server.call(listed.name, sent, timeout_s))

    hints = listed.annotations
    return Tool(
        shaped(call, name, found, _returned(listed.output_schema)),
        description=_description(listed.description or listed.title or "", specs),
        deterministic=notes.get("deterministic") is True,
        side_effects=hints is None or hints.read_only_hint is not True,
        cost=float(notes.get("cost", 0.0)),
        timeout_s=timeout_s,
        version=str(notes.get("version", "")),
        origin=f"mcp:{server.name}",
    )


def _takes_none(spec: Any) -> bool:
    kinds = spec.get("anyOf", [spec]) if isinstance(spec, Mapping) else []
    return any(isinstance(k, Mapping) and k.get("type") == "null" for k in kinds)


def _description(text: str, specs: Mapping[str, Any]) -> str:
    """A server's own words are untrusted: nothing hidden in them, and not too much of them."""
    told = {
        name: spec["description"]
        for name, spec in specs.items()
        if isinstance(spec, Mapping) and isinstance(spec.get("description"), str)
    }
    lines = [f"    {name}: {' '.join(words.split())}" for name, words in told.items()]
    whole = "\n".join([text, *(["", "Args:", *lines] if lines else [])])
    return clip(shown(whole), _LONGEST)


def _returned(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return Any
    wrapped = _wrapped(schema)
    try:
        return annotation(wrapped if wrapped is not None else schema, schema)
    except (ValueError, TypeError):
        return Any  # what it returns is looked at when it does


def _wrapped(schema: Mapping[str, Any]) -> Any:
    """The schema of a result that stands in an object for the protocol's sake."""
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and properties.keys() == {"result"}:
        return properties["result"]
    return None


def _sent(spec: Any, value: Any) -> Any:
    """An argument as it is sent: the bytes of a file, where the schema asks for those."""
    if isinstance(value, list):
        return [_sent(spec, item) for item in value]
    if not isinstance(value, Path):
        return value
    if not is_inline_file(spec):
        return str(value)
    data = base64.b64encode(value.read_bytes()).decode()
    if spec.get("format") != "data-uri":
        return data
    kind = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
    return f"data:{kind};name={value.name};base64,{data}"


def _value(result: Any) -> Any:
    """A server's answer as a value.

    Raises:
        ToolFailed: It is an error; one of a server of ours comes as what it was.
    """
    notes = (result.meta or {}).get(META)
    notes = notes if isinstance(notes, Mapping) else {}
    if result.is_error:
        if "error" in notes:
            kind, text = map(str, notes["error"])
            raise type(kind, (Exception,), {})(text)
        said = "\n".join(b.text for b in result.content if b.type == "text")
        raise ToolFailed(said or "the tool failed and does not say why")
    if "result" in notes:
        return decode(notes["result"])
    structured = result.structured_content
    files = [b for b in map(_block, result.content) if isinstance(b, MadeFile)]
    if structured is not None and not files:
        if isinstance(structured, Mapping) and structured.keys() == {"result"}:
            return structured["result"]
        return structured
    blocks = [_block(b) for b in result.content]
    return blocks[0] if len(blocks) == 1 else blocks or None


def _block(block: Any) -> Any:
    """A part of an answer: a text, or a file."""
    if block.type == "text":
        return block.text
    if block.type in ("image", "audio"):
        return _file(block.type, block.mime_type, block.data)
    if block.type == "resource":
        resource = block.resource
        if hasattr(resource, "text"):
            return resource.text
        name = Path(str(resource.uri)).name or "file"
        return _file(name, resource.mime_type or "", resource.blob)
    return str(block.uri)


def _file(name: str, media_type: str, data: str) -> MadeFile:
    suffix = "" if Path(name).suffix else mimetypes.guess_extension(media_type) or ""
    try:
        return MadeFile(as_file_name(name) + suffix, base64.b64decode(data, validate=True))
    except ValueError:
        raise McpError(f"the server sent {shown(name)[:80]} that is not base64") from None


def as_file_name(text: str) -> str:
    """A harmless file name from any text."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in text)
    return kept.lstrip(".")[-100:] or "file"
