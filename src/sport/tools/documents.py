"""Passages of text files, for :func:`sport.tools.search.search_tool`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = frozenset({".txt", ".md", ".jsonl"})


class DocumentError(ValueError):
    """A document cannot be read; the message names the file and the mend."""


def read_documents(folder: Path) -> Iterator[tuple[str, str]]:
    """Reads the ``.txt``, ``.md`` and ``.jsonl`` files below a folder, in the order of their paths.

    A text file gives one passage for each of its paragraphs, with the file's name as the title.
    A line of a ``.jsonl`` file gives one passage: ``{"text": "…", "title": "…"}``, the title
    optional. With it a module of one's own makes a search over one's own documents::

        ask_search_agent = search_tool(read_documents(Path("manuals")))

    Yields:
        Pairs of title and text.

    Raises:
        DocumentError: The folder is missing or holds no such file, or a file is not as said above.
    """
    if not folder.is_dir():
        raise DocumentError(f"there is no folder {str(folder)!r} of documents")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not files:
        raise DocumentError(f"the folder {str(folder)!r} holds no .txt, .md or .jsonl file")
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DocumentError(f"{file} is not UTF-8 ({error.reason}): save it as UTF-8") from None
        yield from (
            _lines(file, text) if file.suffix.lower() == ".jsonl" else _paragraphs(file, text)
        )


def _paragraphs(file: Path, text: str) -> Iterator[tuple[str, str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.strip():
            yield file.stem, paragraph.strip()


def _lines(file: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise DocumentError(f"{file}, line {number}: not JSON ({error.msg})") from None
        title = entry.get("title", "") if isinstance(entry, dict) else None
        body = entry.get("text") if isinstance(entry, dict) else None
        if not isinstance(title, str) or not isinstance(body, str):
            raise DocumentError(
                f'{file}, line {number}: write {{"text": "…"}} or {{"text": "…", "title": "…"}}'
            )
        yield title, body
