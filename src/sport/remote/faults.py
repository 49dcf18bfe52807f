"""What can go wrong with a request, and what would mend it.

A :class:`Fault` belongs to one attempt: it is counted by its kind, and the request is sent again.
A :class:`RemoteError` will not mend itself: it ends the run, with what to change.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from time import time

from sport.policy.base import ContextFull

RETRIED = frozenset({408, 409, 425, 429})
"""Answers of the 4xx family that another attempt may change; so may any of the 5xx family."""

_OF_ONE_REQUEST = frozenset({400, 413, 422})
_FULL = re.compile(r"context_length_exceeded|context (length|window|size)|maximum context", re.I)
_SHOWN = 400


class Fault(Exception):
    """One attempt failed, and the next may not.

    Attributes:
        kind: What it is counted as, such as ``HTTP 429`` or ``timeout``.
        wait_s: How long the server asks to wait, in seconds, if it says so.
    """

    def __init__(self, kind: str, detail: str = "", wait_s: float | None = None) -> None:
        """Takes what was seen."""
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.wait_s = wait_s


class RemoteError(RuntimeError):
    """A server refuses for good; the message names the server, what it said and the mend."""


class RequestRefused(RemoteError):
    """A server does not take one request; it may take others, such as those without a picture."""


def refused(status: int, url: str, body: str, key_env: str | None) -> RemoteError | ContextFull:
    """The error of an answer that no other attempt would change.

    Args:
        status: Its HTTP status, outside of 200–299, :data:`RETRIED` and 500–599.
        url: Where the request went.
        body: What the server said, free of secrets.
        key_env: The variable of the key.
    """
    said = " ".join(body.split())[:_SHOWN]
    if status in (400, 413, 422) and _FULL.search(body):
        return ContextFull(f"the server says: {said}")
    kind = RequestRefused if status in _OF_ONE_REQUEST else RemoteError
    return kind(f"{url} answered {status}: {said or '(nothing)'}. {_mend(status, key_env)}")


def _mend(status: int, key_env: str | None) -> str:
    key = f"the key in the variable {key_env}" if key_env else "key_env, which names no variable"
    if 300 <= status < 400:
        return "The server has moved: give its new address as url."
    mends = {
        401: f"The server wants another key: check {key}.",
        403: f"This key may not use this model: check {key} and the model's name.",
        404: "There is no such model or path: check url (it mostly ends in /v1) and model.",
        413: "The request is too large: lower [images] max_pixels.",
    }
    return mends.get(
        status,
        "The server does not take this request: name keys that it does not know in omit, "
        "and give the ones that it wants in extra.",
    )


def wait_of(header: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for: a number, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except (TypeError, ValueError):
        return None
