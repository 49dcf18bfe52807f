"""Captions out of files beside the pictures: their own, or one file for many (COCO, ShareGPT4V)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from sport.library.records import Caption

MAX_BYTES = 64 * 2**10
"""Largest file that is the caption of one picture."""


class CaptionError(ValueError):
    """A file of captions cannot be used. The message says why, not which."""


def own_caption(files: Mapping[str, Path]) -> Caption:
    """The caption in the files of one picture.

    Args:
        files: By suffix, ``.json`` and ``.txt``. The words of the first win; its source and
            licence go with the words of either.

    Returns:
        Without words where neither file has any.

    Raises:
        CaptionError: A file is too large, no UTF-8, no JSON, or has a field of another type.
    """
    data: Any = _json(files[".json"]) if ".json" in files else {}
    if not isinstance(data, dict):
        raise CaptionError(f'{files[".json"].name} is no object with a key "caption"')
    text = _words(data.get("caption", ""))
    if not text and ".txt" in files:
        try:
            text = " ".join(_read(files[".txt"], MAX_BYTES).decode("utf-8-sig").split())
        except UnicodeDecodeError:
            raise CaptionError(f"{files['.txt'].name} is not UTF-8; save it anew") from None
    licence = data.get("licence", data.get("license", ""))
    return Caption(text, _words(data.get("source", "")), _words(licence))


def collection(path: Path) -> list[tuple[str, Caption]]:
    """The pictures and captions that one file holds, by the name that it gives to a picture.

    Raises:
        CaptionError: The file is not of the COCO or the ShareGPT4V layout.
    """
    data = _json(path)
    try:
        if isinstance(data, dict) and {"images", "annotations"} <= data.keys():
            return list(_coco(data))
        if isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
            return list(_sharegpt(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise CaptionError(f"holds an entry without what its layout needs ({error!r})") from None
    raise CaptionError("is neither the caption of a picture beside it nor COCO nor ShareGPT4V")


def _coco(data: Mapping[str, Any]) -> Iterator[tuple[str, Caption]]:
    """Microsoft COCO: images and captions in two lists that are joined by a number."""
    licences = {entry["id"]: entry["name"] for entry in data.get("licenses", ())}
    texts: dict[Any, list[str]] = {}
    for note in data["annotations"]:
        texts.setdefault(note["image_id"], []).append(note["caption"])
    for image in data["images"]:
        source = image.get("coco_url") or image.get("flickr_url") or ""
        licence = licences.get(image.get("license"), "")
        yield (
            _name(image["file_name"]),
            Caption(_words(texts.get(image["id"], [])), source, licence),
        )


def _sharegpt(data: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Caption]]:
    """ShareGPT4V: conversations, of which the first answer describes the picture."""
    for entry in data:
        if "image" in entry:  # Others are talk without a picture.
            said = [m["value"] for m in entry["conversations"] if m["from"] == "gpt"]
            yield _name(entry["image"]), Caption(_words(said[:1]))


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise CaptionError(f"names a picture {value!r:.60}, which is no text")
    return value


def _words(value: Any) -> str:
    """One line of a string or of several, each said once."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise CaptionError(f"{value!r:.60} is no text")
    return " ".join(dict.fromkeys(" ".join(item.split()) for item in values)).strip()


def _json(path: Path) -> Any:
    try:
        return orjson.loads(_read(path))
    except orjson.JSONDecodeError as error:
        raise CaptionError(f"{path.name} is no JSON ({error})") from None


def _read(path: Path, limit: int | None = None) -> bytes:
    if path.is_symlink():
        # In a folder from elsewhere a link could turn any text of this machine into a caption.
        raise CaptionError(f"{path.name} is a link; put the file itself there")
    try:
        if limit is not None and path.stat().st_size > limit:
            raise CaptionError(f"{path.name} has over {limit // 1024} KiB, too much to caption")
        return path.read_bytes()
    except OSError as error:
        raise CaptionError(f"{path.name} cannot be read ({error.strerror})") from None
