"""Running one candidate's code inside its world. Standard library only."""

from __future__ import annotations

import _ast
import errno
import io
import posix  # not os: the code may have patched that
import sys
from types import CodeType, TracebackType
from typing import Any, cast

from sport.sandbox.jsonable import to_json

OUTPUT = 1
"""Descriptor that output goes to: a block of memory of fixed size that the host reads."""

_TEXT = 2_000
_ANSWER = 1 << 20


class Finished(BaseException):
    """Raised by ``final_answer``; no ``except Exception`` swallows it."""


class Output(io.RawIOBase):
    """Writes to :data:`OUTPUT` until it is full, then drops the rest.

    Args:
        room: Bytes that fit.
    """

    def __init__(self, room: int) -> None:
        """Starts empty."""
        self._room = room
        self._left = room
        self.truncated = False

    def reset(self) -> None:
        """A new candidate starts with empty output."""
        self._left = self._room
        self.truncated = False

    def writable(self) -> bool:
        """Output can be written."""
        return True

    def write(self, data: Any) -> int:
        """Keeps what fits."""
        view = memoryview(data)
        kept = view[: self._left]
        self.truncated = self.truncated or len(kept) < len(view)
        if kept:
            posix.write(OUTPUT, kept)
            self._left -= len(kept)
        return len(view)

    def fileno(self) -> int:
        """The descriptor."""
        return OUTPUT


class Answer:
    """The ``final_answer`` of one candidate."""

    def __init__(self) -> None:
        """No answer yet."""
        self.given: list[Any] = []

    def __call__(self, answer: Any) -> None:
        """Gives the final answer and ends the task."""
        if not self.given:  # a bare ``except`` may have swallowed the end: the first one counts
            value = to_json(answer, lenient=True)
            if len(repr(value)) > _ANSWER:
                raise ValueError("the answer is too long")
            self.given.append(value)
        raise Finished


def run_code(code: str, namespace: dict[str, Any], filename: str) -> dict[str, Any]:
    """Runs code and tells how it ended.

    Args:
        code: A candidate's code.
        namespace: Globals of ``__main__``; changed by the code.
        filename: Stands for the code in tracebacks; one of its own for each step.

    Returns:
        ``status``, and where they apply ``value``, ``error``, ``answer``.
    """
    answer = Answer()
    namespace["final_answer"] = answer
    try:
        body, last = _compiled(code, filename)
        if body is not None:
            exec(body, namespace)
        value = eval(last, namespace) if last is not None else None
        result = {"status": "ok", "value": None if value is None else _safe_text(repr, value)}
    except Finished:
        result = {"status": "ok"}
    except SystemExit as stop:
        quiet = stop.code in (None, 0)
        result = {"status": "ok"} if quiet else _failure(stop, filename)
    except BaseException as error:
        result = _failure(error, filename)
    if answer.given:
        result["answer"] = answer.given[0]
    return result


def _compiled(code: str, filename: str) -> tuple[CodeType | None, CodeType | None]:
    """The statements, and a last expression where there is one."""
    try:
        parsed = compile(code, filename, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    except (ValueError, UnicodeError) as error:  # null bytes, lone surrogates
        raise SyntaxError(str(error)) from None
    tree = cast(_ast.Module, parsed)
    last = None
    if tree.body and isinstance(tree.body[-1], _ast.Expr):
        end = tree.body.pop()
        assert isinstance(end, _ast.Expr)
        last = compile(_ast.Expression(end.value), filename, "eval", dont_inherit=True)
    body = compile(tree, filename, "exec", dont_inherit=True) if tree.body else None
    return body, last


def _failure(error: BaseException, filename: str) -> dict[str, Any]:
    status = "error"
    if isinstance(error, MemoryError):
        status = "memory"
    elif isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
        status = "disk"
    return {
        "status": status,
        "error": {
            "type": type(error).__name__,
            "message": _message(error),
            "line": _line(error, filename),
        },
    }


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    if isinstance(error, KeyError) and len(error.args) == 1:
        return _safe_text(repr, error.args[0])
    return _safe_text(str, error)


def _line(error: BaseException, filename: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename in (filename, None):
        return error.lineno
    line = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _safe_text(show: Any, value: Any) -> str:
    try:
        text = str(show(value))
    except BaseException as error:
        return f"<{type(value).__name__} whose text cannot be had: {type(error).__name__}>"
    return text if len(text) <= _TEXT else text[:_TEXT] + "…"


def fresh_output(room: int) -> tuple[Output, io.TextIOWrapper]:
    """Output and the text stream over it."""
    raw = Output(room)
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="replace", line_buffering=True
    )
    return raw, stream


def quiet_machinery() -> None:
    """Undoes what would disturb the worker itself: tracing, profiling, a tiny recursion limit."""
    sys.settrace(None)
    sys.setprofile(None)
    if sys.getrecursionlimit() < 500:
        sys.setrecursionlimit(1000)
