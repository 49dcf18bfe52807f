"""Captions for pictures that came without one: a model behind a server looks and writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sport.concurrency import all_of, run_to_end
from sport.jsonl import append_lines, mend, read_lines
from sport.library.captions import MAX_BYTES
from sport.library.fill import Filling
from sport.library.records import Caption, Picture
from sport.policy.base import ContextFull
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.remote.faults import RemoteError
from sport.remote.ledger import Ledger
from sport.remote.wire import to_wire
from sport.types import File, Message

PROMPT = Path(__file__).parent / "prompts" / "caption.md"
"""What the model is asked."""

_MAX_TOKENS = 512
_REFUSED = 3
"""Pictures in a row after whose refusal nothing more is asked: it is not the pictures then."""

Seen = Callable[[int, int], None]


class NoCaption(Exception):
    """A model gave no caption of one picture; says why."""


class CaptionWriter:
    """A chat model with vision. Used as an asynchronous context.

    Attributes:
        model: What the server calls it.
        concurrency: How many pictures it is shown at a time.
    """

    def __init__(self, server: ServerSettings, model: str, ledger: Ledger | None = None) -> None:
        """Reads the key; connects when it is entered.

        Args:
            server: Where and how to ask.
            model: Name of the model, where the server has no other name for it.
            ledger: Where the requests are booked, in the role ``captions``.

        Raises:
            RemoteError: The key is not there.
        """
        self._client = ChatClient(server, model, "captions", ledger)
        self.model = self._client.model
        self.concurrency = server.concurrency

    async def __aenter__(self) -> Self:
        """Opens it in the running event loop."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes all connections."""
        await self._client.__aexit__(*error)

    async def write(self, picture: File) -> str:
        """One caption, in one line.

        Raises:
            NoCaption: What came is no caption, or nothing came.
            RemoteError: The server refuses, or is down.
        """
        text = PROMPT.read_text(encoding="utf-8").strip()
        messages = to_wire([Message(role="user", text=text, images=(picture,))])
        try:
            found = await self._client.choices(messages, 1, temperature=0.0, max_tokens=_MAX_TOKENS)
        except ContextFull as error:
            raise NoCaption(f"the picture is too large for the model: {error}") from None
        if not found.had:
            raise NoCaption(found.missing[0])
        return _caption(found.had[0].text, found.had[0].finish == "length")


class Describing:
    """One round of giving captions to pictures that have none.

    Each caption is on the disk as soon as it came, under the digest of its picture, so none is
    asked for twice; a call that is interrupted loses those under way.
    """

    def __init__(self, filling: Filling, file: Path, writer: CaptionWriter | None) -> None:
        """Reads what was written before.

        Args:
            filling: Takes the pictures.
            file: JSON lines of captions.
            writer: Who writes what is still lacking; without one, such pictures are skipped.
        """
        self._filling, self._file, self._writer = filling, file, writer
        self._written = {row["sha256"]: row for row in map(json.loads, read_lines(file))}
        self._ready: list[tuple[int, Picture]] = []
        self._asked: set[str] = set()
        self._refused = 0

    def take(self, bare: Sequence[tuple[Path, Caption]], seen: Seen | None = None) -> None:
        """Stores those that have a caption now, in their order; the others are reported.

        Args:
            bare: Pictures, with what is known of them beside the words.
            seen: Told how many of how many were looked at.

        Raises:
            RemoteError: The server refuses, or is down. What was written is kept.
        """
        owed = self._owed(bare, seen)
        try:
            if self._writer is None:
                for _, picture in owed:
                    beside = Path(picture.path).with_suffix(".txt").name
                    self._skip(picture, f"it has no caption. Write one into {beside} beside it.")
            else:
                mend(self._file)
                run_to_end(self._ask(self._writer, owed))
        finally:
            self._filling.put([picture for _, picture in sorted(self._ready, key=lambda r: r[0])])

    def _owed(
        self, bare: Sequence[tuple[Path, Caption]], seen: Seen | None
    ) -> Iterator[tuple[int, Picture]]:
        """Those that a caption must be written for; each is looked at when it is its turn."""
        for number, (path, caption) in enumerate(bare):
            picture = self._filling.fresh(path, caption)
            if picture is not None and picture.sha256 in self._asked:
                self._filling.report.known += 1
            elif picture is not None:
                self._asked.add(picture.sha256)
                if picture.sha256 in self._written:
                    self._keep(number, picture)
                else:
                    yield number, picture
            if seen is not None:
                seen(number + 1, len(bare))

    async def _ask(self, writer: CaptionWriter, owed: Iterator[tuple[int, Picture]]) -> None:
        async def work() -> None:
            # All draw from one iterator, so no more pictures are in memory than are asked about.
            for number, picture in owed:
                await self._write(writer, number, picture)

        async with writer:
            await all_of([work() for _ in range(writer.concurrency)])

    async def _write(self, writer: CaptionWriter, number: int, picture: Picture) -> None:
        try:
            text = await writer.write(self._filling.file(picture))
        except NoCaption as error:
            self._skip(picture, f"no caption was written: {error}")
        except RemoteError as error:
            # A server may refuse one picture, which says nothing about the others.
            self._refused += 1
            if self._refused >= _REFUSED:
                raise
            self._skip(picture, f"no caption was written: {error}")
        else:
            self._refused = 0
            row = {"sha256": picture.sha256, "model": writer.model, "text": text}
            append_lines(self._file, [json.dumps(row)])
            self._written[picture.sha256] = row
            self._filling.report.written += 1
            self._keep(number, picture)

    def _keep(self, number: int, picture: Picture) -> None:
        row = self._written[picture.sha256]
        before = f"{picture.caption.source}; " if picture.caption.source else ""
        caption = Caption(
            row["text"], f"{before}caption written by {row['model']}", picture.caption.licence
        )
        self._ready.append((number, replace(picture, caption=caption)))

    def _skip(self, picture: Picture, reason: str) -> None:
        self._filling.skip(picture.path, reason)


def _caption(text: str, cut: bool) -> str:
    """The caption in what a model wrote."""
    line = " ".join(text.rpartition("</think>")[2].split())  # Without its thoughts, if it told any.
    if cut:
        whole = re.match(r".*[.!?](?=\s)", line)
        line = whole[0] if whole is not None else ""
    if not line:
        raise NoCaption(f"it had no whole sentence after {_MAX_TOKENS} tokens" if cut else "empty")
    if len(line.encode()) > MAX_BYTES:
        raise NoCaption(f"it has over {MAX_BYTES // 1024} KiB, too much to caption")
    return line
