"""What a request must be to get past the door, and what every answer says to the browser.

The viewer answers this machine's browser, asked by the viewer's own pages or by the user. A page
from elsewhere can make a browser send requests to loopback: by its own address, by a name that it
makes point there (DNS rebinding), or by a form. ``Host``, ``Origin`` and ``Sec-Fetch-Site`` tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but the viewer's own files is loaded, and no script or style stands in a page."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none, browsers hide the origin of the viewer's forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MOST_BODY = 10_000


class Guard:
    """Wraps the application: turns away what is not for it, and adds the headers."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """Takes the application and the values of ``Host`` that are its own."""
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0])
        await app(scope, receive, marked)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            return 421, "This address is not the viewer's."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "The viewer is for looking at."
        if _is_tricky(scope.get("raw_path") or scope["path"].encode()):
            return 400, "There is no such path."
        if int(headers.get("content-length") or 0) > _MOST_BODY:
            return 413, "That is too much."
        return None if self._is_ours(scope, headers) else (403, "Another page asked for this.")

    def _is_ours(self, scope: Scope, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.lower().removeprefix("http://") not in self._hosts:
            return False
        if scope["method"] == "POST":
            return origin is not None
        # A link elsewhere may lead here, but nothing else of another page may come in.
        return site in (None, "same-origin", "none") or (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )


def _is_tricky(path: bytes) -> bool:
    """Whether a path tries to be another one, however often it is encoded."""
    for _ in range(3):
        if b"\\" in path or b"\0" in path or b".." in path.split(b"/") or b"//" in path:
            return True
        path = unquote_to_bytes(path)
    return False
