"""Tools as an MCP server: models are loaded once, for all sandboxes, machines and other agents.

It speaks streamable HTTP on loopback. A file argument is a data URI, since a client need not see
the files of this machine; a file that a tool makes comes back as its bytes.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from sport.loopback import LOOPBACK, bound
from sport.secrets import Secrets
from sport.tools.cards import PROPERTIES, input_schema
from sport.tools.function import Tool
from sport.tools.load import ToolNotFound
from sport.tools.mcp_tools import META, as_file_name
from sport.tools.threads import ToolThreads
from sport.tools.values import LARGEST_FILE, MadeFile, encode, files_in, named

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp_types import CallToolResult, ContentBlock

FILE_SCHEMA: Mapping[str, Any] = {
    "type": "string",
    "format": "data-uri",
    "contentEncoding": "base64",
    "description": "The file as a data URI, such as data:image/png;name=a.png;base64,…",
}
_THREADS = 16


def serve(
    tools: Mapping[str, Tool], secrets: Secrets, port: int, said: Callable[[str], None]
) -> None:
    """Serves tools until it is interrupted.

    Args:
        tools: By name.
        secrets: What no client may see.
        port: The port; 0 takes a free one.
        said: Told the address.

    Raises:
        ToolNotFound: The port is taken, or the package ``mcp`` is not installed.
    """
    try:
        import mcp  # noqa: F401
    except ModuleNotFoundError:
        raise ToolNotFound("serving tools needs mcp: pip install 'sport-agents[mcp]'") from None
    import uvicorn

    try:
        listener = bound(port)
    except OSError as error:
        raise ToolNotFound(f"port {port} cannot be used ({error.strerror}): give another") from None
    app = make_server(tools, secrets).streamable_http_app(
        json_response=True,
        stateless_http=True,
        max_request_body_size=2 * LARGEST_FILE,
        host=LOOPBACK,
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    listener.listen(128)  # before anybody is sent here
    said(f"http://{LOOPBACK}:{listener.getsockname()[1]}/mcp")
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def make_server(tools: Mapping[str, Tool], secrets: Secrets) -> Server[Any]:
    """An MCP server of tools; calls run in threads, as many at once as a tool allows."""
    import mcp_types as types
    from mcp.server.lowlevel import Server

    shared = ToolThreads(_THREADS)
    own = {n: ToolThreads(t.concurrency) for n, t in tools.items() if t.concurrency is not None}

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_listed(tool) for tool in tools.values()])

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> CallToolResult:
        try:
            if params.name not in tools:
                raise LookupError(f"there is no tool {params.name[:100]!r}")
            tool = tools[params.name]
            threads = own.get(tool.name, shared)
            work = _Work(tool, params.arguments or {})
            return _answered(await threads.call(work, tool.timeout_s), secrets)
        except Exception as error:
            return _failed(type(error).__name__, secrets.hide_in_error(str(error)))

    return Server("sport", on_list_tools=list_tools, on_call_tool=call_tool)


class _Work:
    """One call, in a thread of its own: files are written, the tool runs, files are read."""

    def __init__(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        self._tool = tool
        self._arguments = arguments

    def __call__(self) -> Any:
        with tempfile.TemporaryDirectory(prefix="sport-serve-") as folder:
            workspace = Path(folder)
            arguments = dict(self._arguments)
            for p in self._tool.parameters:
                if p.is_file and arguments.get(p.name) is not None:
                    arguments[p.name] = _stored(workspace, arguments[p.name])
            return self._tool.compute(workspace, self._tool.bind([], arguments))


def _stored(workspace: Path, value: Any) -> Any:
    """Writes a data URI, or plain base64, to a file; gives its name in the workspace.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, list):
        return [_stored(workspace, item) for item in value]
    head, comma, body = str(value).partition(",")
    fields = head.removeprefix("data:").split(";") if comma else ["", "base64"]
    names = [f.removeprefix("name=") for f in fields if f.startswith("name=")]
    suffix = mimetypes.guess_extension(fields[0]) or ""
    name = as_file_name(names[0]) if names else f"file{suffix}"
    try:
        if "base64" in fields:
            data = base64.b64decode(body if comma else head, validate=True)
        else:
            data = unquote_to_bytes(body)
    except ValueError:
        raise ValueError("a file is wanted as a data URI, data:…;base64,…") from None
    folder = Path(tempfile.mkdtemp(dir=workspace))
    (folder / name).write_bytes(data)
    return str((folder / name).relative_to(workspace))


def _listed(tool: Tool) -> Any:
    import mcp_types as types

    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=input_schema(tool, FILE_SCHEMA),
        annotations=types.ToolAnnotations(
            read_only_hint=not tool.side_effects, idempotent_hint=tool.deterministic
        ),
        _meta={META: {key: getattr(tool, key) for key in PROPERTIES if key != "origin"}},
    )


def _answered(result: Any, secrets: Secrets) -> CallToolResult:
    """A result as other agents read it, and, for clients of ours, as it was."""
    import mcp_types as types

    whole = secrets.clean(encode(result))
    plain = secrets.clean(named(result))
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    blocks: list[ContentBlock] = [types.TextContent(type="text", text=text)]
    blocks += [_block(file) for file in files_in(result)]
    return types.CallToolResult(content=blocks, _meta={META: {"result": whole}})


def _failed(kind: str, text: str) -> CallToolResult:
    import mcp_types as types

    return types.CallToolResult(
        content=[types.TextContent(type="text", text=f"{kind}: {text}")],
        is_error=True,
        _meta={META: {"error": [kind, text]}},
    )


def _block(file: MadeFile) -> ContentBlock:
    import mcp_types as types

    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    data = base64.b64encode(file.data).decode()
    if kind.startswith("image/"):
        return types.ImageContent(type="image", data=data, mime_type=kind)
    blob = types.BlobResourceContents(uri=f"file:///{file.name}", blob=data, mime_type=kind)
    return types.EmbeddedResource(type="resource", resource=blob)
