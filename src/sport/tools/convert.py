"""Documents to text by markitdown, in a process of its own with little memory and no secrets.

A document may be of anybody's making, and parsers have bugs. Run as ``python -m
sport.tools.convert .pdf``, it reads the document from standard input and writes its text.
"""

from __future__ import annotations

import codecs
import io
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_PLAIN = frozenset(
    ".txt .md .json .jsonl .xml .yaml .yml .toml .tsv .log .py .js .c .h .tex .rst .srt".split()
)
_ARCHIVES = frozenset(".zip .docx .pptx .xlsx .epub".split())
SUFFIXES = _PLAIN | _ARCHIVES | {".pdf", ".csv", ".html", ".htm", ".ipynb"}
"""What can be converted."""
LONGEST = 4_000_000
"""Characters of text that are kept."""
_MEMORY, _CPU_S, _WALL_S = 3 << 30, 60, 90
_LARGEST = 64 << 20
"""Bytes of a document, and of each file that a parser may write."""
_UNPACKED = 256 << 20
"""Bytes that the parts of an archive may have, all together."""


class ConversionError(ValueError):
    """A document cannot be read; the message says why and what to do."""


def convert(data: bytes, suffix: str, name: str) -> str:
    """The text of a document, as Markdown.

    Args:
        data: Its bytes.
        suffix: Such as ``.pdf``.
        name: What to call it in errors.

    Raises:
        ConversionError: It is broken, of an unknown kind, or takes too much.
    """
    if suffix not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        raise ConversionError(f"{name!r} is no document that can be read as text; known: {known}")
    if len(data) > _LARGEST:
        raise ConversionError(f"{name!r} has {len(data) >> 20} MiB: at most {_LARGEST >> 20}")
    if suffix in _PLAIN:
        return _decoded(data)[:LONGEST]
    if suffix in _ARCHIVES:
        _check_archive(data, name)
    return _apart(data, suffix, name)


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _check_archive(data: bytes, name: str) -> None:
    """Refuses what unpacks to too much; readers go by the sizes that an archive tells."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            size = sum(part.file_size for part in file.infolist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ConversionError(f"{name!r} cannot be read: it is broken ({error})") from None
    if size > _UNPACKED:
        raise ConversionError(
            f"{name!r} unpacks to {size >> 20} MiB: at most {_UNPACKED >> 20} can be read"
        )


def _apart(data: bytes, suffix: str, name: str) -> str:
    """The text of a document, read in a process of its own."""
    # Nothing of this process's environment: a parser that is broken into finds no keys.
    env = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1",
           "PYTHONUTF8": "1", "PATH": os.defpath}  # fmt: skip
    command = [sys.executable, "-P", "-m", "sport.tools.convert", suffix]
    with tempfile.TemporaryDirectory(prefix="sport-convert-") as folder:
        try:
            done = subprocess.run(
                command, input=data, capture_output=True, env=env, cwd=folder, timeout=_WALL_S
            )
        except subprocess.TimeoutExpired:
            raise ConversionError(f"{name!r} takes longer than {_WALL_S} s to read") from None
    if done.returncode < 0:
        raise ConversionError(f"{name!r} takes too much memory or time to read")
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConversionError(f"{name!r} cannot be read: {lines[-1][:300] if lines else 'no text'}")
    return done.stdout.decode("utf-8", "replace")


def _main(suffix: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data = sys.stdin.buffer.read()
    try:
        text = _text(data, suffix)
    except MemoryError:
        sys.exit("it takes too much memory")
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    sys.stdout.buffer.write(text[:LONGEST].encode("utf-8", "replace"))


def _text(data: bytes, suffix: str) -> str:
    from markitdown import MarkItDown, StreamInfo, converters

    # Of its converters only those that stay with the bytes: others would ask a speech service,
    # start a program or fetch an address.
    reader = MarkItDown(enable_builtins=False, enable_plugins=False)
    if suffix == ".zip":
        reader.register_converter(converters.PlainTextConverter(), priority=10.0)
        reader.register_converter(converters.ZipConverter(markitdown=reader), priority=10.0)
    reader.register_converter(converters.HtmlConverter(), priority=10.0)
    for kind in ("Docx", "Xlsx", "Pptx", "Pdf", "Ipynb", "Epub", "Csv"):
        reader.register_converter(getattr(converters, f"{kind}Converter")())
    return reader.convert_stream(
        io.BytesIO(data), stream_info=StreamInfo(extension=suffix)
    ).markdown


if __name__ == "__main__":
    _main(str(Path("x" + sys.argv[1]).suffix))
