"""Workbooks, documents and slides that untrusted code made: archives of XML, and nothing active."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from xml.etree import ElementTree

from sport.synthesis.unfit import Unfit

_PREFIX = "application/vnd.openxmlformats-officedocument."
MAIN_PARTS = {
    ".xlsx": f"{_PREFIX}spreadsheetml.sheet.main+xml",
    ".docx": f"{_PREFIX}wordprocessingml.document.main+xml",
    ".pptx": f"{_PREFIX}presentationml.presentation.main+xml",
}
"""What the main part of each kind of file calls itself."""

MAX_PARTS = 2_000
MAX_UNPACKED = 64 << 20
"""Bytes of all parts together."""
MAX_RATIO = 200
"""How many times its packed size a part may have, beyond a size that does no harm."""

_SMALL = 4 << 20
_TYPES = "[Content_Types].xml"
_HARMLESS_ADDRESS = re.compile(r"(https?://|mailto:)[^\\]*", re.IGNORECASE)
_EMBEDDED = re.compile(r"(^|/)embeddings/", re.IGNORECASE)
_ACTIVE = re.compile(
    rb"macroEnabled|vbaProject|activeX|oleObject|externalLink",
    re.IGNORECASE,
)
_ACTIVE_NAME = re.compile(r"vba\w*\.(bin|xml)$|activeX|oleObject|externalLink", re.IGNORECASE)
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)["']""")


def check_office(data: bytes, suffix: str) -> None:
    """Checks the bytes of an Office file.

    Charts of slides hold their numbers in a workbook of their own, which is checked like a file.

    Args:
        data: They.
        suffix: One of :data:`MAIN_PARTS`.

    Raises:
        Unfit: They are something else, unpack to too much, or hold macros, embedded objects or
            links to other files.
    """
    _check(data, suffix, embedded=False)


def _check(data: bytes, suffix: str, embedded: bool) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = _parts(archive, suffix)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        if isinstance(error, Unfit):
            raise
        raise _other(suffix, f"its archive is broken: {error}") from None
    types = parts.get(_TYPES)
    if types is None:
        raise _other(suffix, f"it has no {_TYPES}")
    for name, part in parts.items():
        _check_part(name, part, embedded)
    if MAIN_PARTS[suffix] not in _attributes(types, _TYPES, "ContentType"):
        raise _other(suffix, "its content is of another kind")


def _other(suffix: str, why: str) -> Unfit:
    return Unfit("wrong kind of file", f"the file is called {suffix}, but is none: {why}")


def _parts(archive: zipfile.ZipFile, suffix: str) -> dict[str, bytes]:
    """All parts by name, unpacked under bounds that hold whatever the archive claims."""
    entries = archive.infolist()
    if len(entries) > MAX_PARTS:
        raise Unfit("too large", f"the file has {len(entries):,} parts: at most {MAX_PARTS:,}")
    # Readers give no more of a part than the archive says that it has.
    size = sum(entry.file_size for entry in entries)
    swollen = any(e.file_size > max(_SMALL, MAX_RATIO * e.compress_size) for e in entries)
    if size > MAX_UNPACKED or swollen:
        raise Unfit("too large", f"the file unpacks to {size:,} bytes: at most {MAX_UNPACKED:,}")
    parts: dict[str, bytes] = {}
    for entry in entries:
        name = entry.filename
        if name in parts or name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise _other(suffix, f"its part {name[:80]!r} has no proper name")
        parts[name] = archive.read(entry)
    return parts


def _check_part(name: str, part: bytes, embedded: bool) -> None:
    if _ACTIVE_NAME.search(name):
        raise _active(name)
    if _EMBEDDED.search(name):
        if embedded or not name.lower().endswith(".xlsx"):
            raise _active(name)
        _check(part, ".xlsx", embedded=True)
    if name == _TYPES or name.endswith((".xml", ".rels")):
        _check_xml(name, part)
    if name == _TYPES and _ACTIVE.search(part):
        raise _active(name)
    if name.endswith(".rels"):
        _check_links(name, part)


def _active(name: str) -> Unfit:
    what = f"{name[:80]!r} may do more than show something"
    return Unfit("active content", f"{what}: leave out macros, objects and links to other files")


def _check_xml(name: str, part: bytes) -> None:
    """Refuses definitions, which could unfold without end or name other files.

    They are looked for in the bytes, so these must be what every library writes: UTF-8.
    """
    said = _ENCODING.match(part.removeprefix(b"\xef\xbb\xbf")[:200])
    if b"\0" in part or (said and said[1].lower() not in (b"utf-8", b"us-ascii", b"ascii")):
        raise Unfit("broken file", f"{name[:80]!r} is not written in UTF-8")
    if b"<!DOCTYPE" in part or b"<!ENTITY" in part:
        raise _active(name)


def _check_links(name: str, part: bytes) -> None:
    root = _root(part, name)
    for link in root.iter():
        kind = link.get("Type", "").rsplit("/", 1)[-1]
        if _ACTIVE.search(kind.encode()) or kind in ("attachedTemplate", "control", "frame"):
            raise _active(name)
        if link.get("TargetMode", "Internal").lower() == "internal":
            continue
        # An address to click on is text; whatever else lies outside would be fetched.
        if kind != "hyperlink" or not _HARMLESS_ADDRESS.fullmatch(link.get("Target", "")):
            raise _active(name)


def _attributes(part: bytes, name: str, attribute: str) -> set[str]:
    return {value for e in _root(part, name).iter() if (value := e.get(attribute)) is not None}


def _root(part: bytes, name: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(part)
    except ElementTree.ParseError as error:
        raise Unfit("broken file", f"{name[:80]!r} is no XML ({error})") from None
