"""Workbooks, documents and slides that untrusted code made: archives of XML, and nothing active."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
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
_HARMLESS_ADDRESS = re.compile(r"(https?://|mailto:|#)[^\\]*", re.IGNORECASE)
_EMBEDDED = re.compile(r"(^|/)embeddings/", re.IGNORECASE)
_ACTIVE = re.compile(
    rb"macroEnabled|vbaProject|activeX|oleObject|externalLink",
    re.IGNORECASE,
)
_ACTIVE_NAME = re.compile(r"vba\w*\.(bin|xml)$|activeX|oleObject|externalLink", re.IGNORECASE)
_FORMULA = re.compile(rb"<(\w+:)?f[\s/>]")
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
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise _other(suffix, f"its archive is broken ({error})") from None
    _check_sizes(entries)
    parts: dict[str, bytes] = {}
    for entry in entries:
        name = entry.filename
        if name in parts or name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise _other(suffix, f"its part {name[:80]!r} has no proper name")
        part = _unpacked(data, entry)
        if part is None:
            raise _other(suffix, f"its part {name[:80]!r} is broken")
        parts[name] = part
        _check_part(name, part, embedded)
    types = parts.get(_TYPES)
    if types is None or MAIN_PARTS[suffix] not in _content_types(types):
        raise _other(suffix, "its content is of another kind")


def _other(suffix: str, why: str) -> Unfit:
    return Unfit("wrong kind of file", f"the file is called {suffix}, but is none: {why}")


def _check_sizes(entries: Sequence[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_PARTS:
        raise Unfit("too large", f"the file has {len(entries):,} parts: at most {MAX_PARTS:,}")
    size = sum(entry.file_size for entry in entries)
    swollen = any(e.file_size > max(_SMALL, MAX_RATIO * e.compress_size) for e in entries)
    if size > MAX_UNPACKED or swollen:
        raise Unfit("too large", f"the file unpacks to {size:,} bytes: at most {MAX_UNPACKED:,}")


def _unpacked(data: bytes, entry: zipfile.ZipInfo) -> bytes | None:
    """A part, if it is as long as the archive says; never more of it than that.

    ``zipfile`` unpacks all that there is before it cuts a part to the length that it should have.
    """
    start, encrypted = entry.header_offset, entry.flag_bits & 1
    if encrypted or data[start : start + 4] != b"PK\3\4" or start + 30 > len(data):
        return None
    start += 30 + sum(struct.unpack_from("<HH", data, start + 26))
    part = data[start : start + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            part = unpacking.decompress(part, entry.file_size + 1)
        except zlib.error:
            return None
        if not unpacking.eof or unpacking.unused_data:
            return None
    elif entry.compress_type != zipfile.ZIP_STORED:
        return None
    return part if len(part) == entry.file_size and zlib.crc32(part) == entry.CRC else None


def _check_part(name: str, part: bytes, embedded: bool) -> None:
    if _ACTIVE_NAME.search(name):
        raise _active(name)
    if _EMBEDDED.search(name):
        if embedded or not name.lower().endswith(".xlsx"):
            raise _active(name)
        _check(part, ".xlsx", embedded=True)
    if name.endswith((".xml", ".rels")):
        _check_xml(name, part)
    if name == _TYPES and _ACTIVE.search(part):
        raise _active(name)
    if name.endswith(".rels"):
        _check_links(name, part)
    if name.startswith("xl/worksheets/") and _FORMULA.search(part) and not embedded:
        raise Unfit(
            "formulas",
            "cells hold formulas, and show nothing before a spreadsheet program computes them: "
            "write the values",
        )


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


def _content_types(types: bytes) -> set[str]:
    return {entry.get("ContentType", "") for entry in _root(types, _TYPES).iter()}


def _root(part: bytes, name: str) -> ElementTree.Element:
    if len(part) > _SMALL:
        raise Unfit("too large", f"{name[:80]!r} has {len(part):,} bytes: at most {_SMALL:,}")
    try:
        return ElementTree.fromstring(part)
    except ElementTree.ParseError as error:
        raise Unfit("broken file", f"{name[:80]!r} is no XML ({error})") from None
