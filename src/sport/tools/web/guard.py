"""Requests that cannot be led to where they must not go.

An address is checked after its name is resolved, and the connection goes to that very address, so
that a name which resolves anew to another one gains nothing; a redirect is checked in the same way.
Size and time are bounded as a whole: a server that sends a byte a second is given up, too.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

_PORTS = frozenset({80, 443})
_REDIRECTS = 5
_AGENT = "Mozilla/5.0 (compatible; sport-agents)"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class WebError(ValueError):
    """A page cannot be had; the message says why."""


@dataclass(frozen=True)
class Page:
    """What an address answered.

    Attributes:
        url: Where it was in the end.
        media_type: Such as ``text/html``.
        content: Its bytes, at most as many as were allowed.
        cut: Whether there were more.
    """

    url: str
    media_type: str
    content: bytes
    cut: bool = False


@dataclass(frozen=True)
class Guard:
    """What requests may do.

    Attributes:
        allow: ``host:port`` pairs that may be asked although their addresses are private.
        max_bytes: Bytes of an answer that are read.
        timeout_s: Wall time of a request with all its redirects, in seconds.
    """

    allow: frozenset[str] = field(default_factory=frozenset)
    max_bytes: int = 4 << 20
    timeout_s: float = 20.0

    def fetch(
        self,
        url: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        redirects: int = _REDIRECTS,
    ) -> Page:
        """What an address answers.

        Args:
            url: The address; only http and https.
            data: The body of a POST; without it the request is a GET.
            headers: Further headers.
            redirects: How many are followed; none where a header holds a key.

        Raises:
            WebError: The address must not be asked, or does not answer as it should.
        """
        deadline = time.monotonic() + self.timeout_s
        for _ in range(redirects + 1):
            answer = self._one(url, data, headers or {}, deadline)
            if isinstance(answer, Page):
                return answer
            url = urljoin(url, answer)
        raise WebError(f"{url} is redirected more than {redirects} times")

    def _one(
        self, url: str, data: bytes | None, headers: Mapping[str, str], deadline: float
    ) -> Page | str:
        """The answer of one address, or where it redirects to."""
        connection, target = self._connected(url, deadline)
        # A timeout of the socket alone would begin anew with every byte.
        watch = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [connection.sock])
        watch.start()
        try:
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
            connection.request("POST" if data is not None else "GET", target, data, sent)
            response = connection.getresponse()
            moved = response.getheader("Location")
            if response.status in (301, 302, 303, 307, 308) and moved:
                return moved
            content = response.read(self.max_bytes + 1)
            if time.monotonic() >= deadline:
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise WebError(f"{url} did not answer within {self.timeout_s:g} s") from None
            raise WebError(f"{url} does not answer: {type(error).__name__}: {error}") from None
        finally:
            watch.cancel()
            connection.close()
        return _page(url, response, content, self.max_bytes)

    def _connected(self, url: str, deadline: float) -> tuple[http.client.HTTPConnection, str]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise WebError(f"{url!r} is no address") from None
        if parts.scheme not in ("http", "https") or not host:
            raise WebError(f"{url!r} is no address of the web: it begins with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise WebError(f"{host}: addresses with a user or password are not asked")
        port = port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        address = self._checked(host, port)
        left = deadline - time.monotonic()
        if left <= 0:
            raise WebError(f"{url} did not answer within {self.timeout_s:g} s")
        try:
            sock = socket.create_connection((address, port), left)
            if parts.scheme == "https":
                # The handshake comes later, within the time that is watched over.
                sock = ssl.create_default_context().wrap_socket(
                    sock, server_hostname=host, do_handshake_on_connect=False
                )
        except OSError as error:
            raise WebError(f"{url} cannot be reached: {error}") from None
        connection = http.client.HTTPConnection(host, port, timeout=left)
        connection.sock = sock
        return connection, _quoted(target)

    def _checked(self, host: str, port: int) -> str:
        """The address that a name stands for, where it may be asked."""
        allowed = f"{host}:{port}" in self.allow
        if port not in _PORTS and not allowed:
            raise WebError(f"{host}:{port} is not asked: only the ports 80 and 443 are")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise WebError(f"there is no host {host!r}") from None
        addresses = [str(entry[4][0]) for entry in found]
        # One bad address among several is enough: which one is taken may be the attacker's choice.
        if not allowed and not all(is_public(address) for address in addresses):
            raise WebError(f"{host} is not asked: its address is private or reserved")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also inside of an IPv6 wrapping."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        teredo = ip.teredo[1] if ip.teredo is not None else None
        inner = ip.ipv4_mapped or ip.sixtofour or teredo
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


def _page(url: str, response: http.client.HTTPResponse, content: bytes, most: int) -> Page:
    if not 200 <= response.status < 300:
        raise WebError(f"{url} answered {response.status}")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise WebError(f"{url} answered in an encoding that was not asked for")
    kind = response.headers.get_content_type()
    return Page(url, kind, content[:most], cut=len(content) > most)


def _quoted(target: str) -> str:
    """A path as requests may hold it: no blanks or control characters split them."""
    return "".join(c if "!" <= c <= "~" else _percent(c) for c in target)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended in the same moment
