"""Stage 4: files that no library holds are made, by code of a model that runs in the sandbox."""

from __future__ import annotations

import asyncio
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from sport.blobs import BlobStore
from sport.files import Intake, safe_name
from sport.policy.messages import observe
from sport.policy.parse import parse_action
from sport.sandbox.base import Sandbox
from sport.synthesis.asking import Ask, Unanswered, Unusable, messages_of
from sport.synthesis.readback import MAX_BYTES, check
from sport.synthesis.unfit import Unfit
from sport.tools.convert import ConversionError, convert
from sport.tools.paths import read_file
from sport.tools.weights import needs
from sport.types import Action, File, Message, Outcome, ProducedFile, Record
from sport.untrusted import clip, fit

Kind = Literal["picture", "chart", "receipt", "spreadsheet", "document", "slides", "pdf", "text"]
"""What can be made."""

SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "picture": (".png",),
    "chart": (".png",),
    "receipt": (".png",),
    "spreadsheet": (".xlsx",),
    "document": (".docx",),
    "slides": (".pptx",),
    "pdf": (".pdf",),
    "text": (".txt", ".csv"),
}
"""How a file of each kind may be called."""

_LIBRARIES: dict[Kind, str] = {
    "picture": "PIL or matplotlib",
    "chart": "matplotlib",
    "receipt": "PIL",
    "spreadsheet": "openpyxl",
    "document": "python-docx",
    "slides": "python-pptx",
    "pdf": "reportlab",
    "text": "the standard library (.txt; .csv for a table)",
}
_PACKAGES = ("matplotlib", "openpyxl", "docx", "pptx", "reportlab", "markitdown")
_CAPTION = 300
_TOLD = 2_000
"""Characters of what went wrong that the model is shown, the last ones."""


class Wanted(Record):
    """A file that is to be made.

    Attributes:
        kind: What it is.
        description: What it must show, with all its facts.
        name: Its name, without suffix.
    """

    kind: Kind
    description: str
    name: str


class Made(Record):
    """A file that was made.

    Attributes:
        file: It, with the beginning of its description as the caption.
        code: What made it.
    """

    file: File
    code: str


class MakingFailed(ValueError):
    """A file could not be made. The message says what went wrong.

    Attributes:
        reason: One of a few kinds, which are counted: ``no code``, ``refused``, ``no answer``,
            ``prompt too long``, ``code failed``, ``sandbox: timeout`` (``memory``, ``disk``,
            ``died``), ``no file``, ``several files``, or one of :class:`Unfit`'s.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Takes the kind, and what was seen."""
        super().__init__(detail)
        self.reason = reason


class FileMaker:
    """Makes files: a model writes code, the sandbox runs it, and what it leaves is checked.

    The code has no tools, no network and an empty folder. Code that fails, or that leaves
    something else, is shown to the model once more with what went wrong.
    """

    def __init__(self, ask: Ask, sandbox: Sandbox, blobs: BlobStore, max_pixels: int) -> None:
        """Takes what it works with.

        Args:
            ask: The model.
            sandbox: Without tools.
            blobs: Where the bytes of files go.
            max_pixels: Area to which larger pictures are scaled down.

        Raises:
            ToolNotFound: A package is missing that files are made or read with.
        """
        for package in _PACKAGES:
            needs("making files", package, "makers")
        self._ask, self._sandbox = ask, sandbox
        self._blobs, self._max_pixels = blobs, max_pixels

    async def make(self, wanted: Wanted, label: str) -> Made:
        """Makes a file.

        Args:
            wanted: It.
            label: Whom it is for: equal files for two drafts are asked for apart.

        Raises:
            MakingFailed: The model gave no code, or both times code that did not do it.
            SandboxError: The sandbox itself cannot do its work.
            RemoteError: The server refuses for good, or is down.
            BudgetSpent: The budget is.
        """
        chat = _opening(wanted)
        for attempt in (1, 2):
            code = await self._code(chat, f"{label}, {attempt}")
            try:
                return Made(file=await self._run(code, wanted), code=code)
            except MakingFailed as error:
                failed = error
            chat = (*chat, *_repair(code, failed))
        raise failed

    async def _code(self, chat: Sequence[Message], label: str) -> str:
        try:
            return await self._ask(chat, _read, label)
        except Unanswered as error:
            reason = "no code" if error.reason == "unusable answer" else error.reason
            raise MakingFailed(reason, str(error)) from None

    async def _run(self, code: str, wanted: Wanted) -> File:
        world = await self._sandbox.open()
        try:
            [outcome] = await self._sandbox.run(world, [code])
            produced = _the_one(outcome, SUFFIXES[wanted.kind])
            world = await self._sandbox.commit(outcome)
            return await asyncio.to_thread(self._take, world.workspace, produced.path, wanted)
        finally:
            await self._sandbox.discard(world)

    def _take(self, workspace: Path, path: str, wanted: Wanted) -> File:
        suffix = PurePosixPath(path).suffix.lower()
        name = _stem(wanted) + suffix
        try:
            data = read_file(workspace, path)
            check(data, suffix)
            if suffix != ".png":
                convert(data, suffix, name)  # what is broken fails here, and not in its first user
        except OSError as error:
            raise MakingFailed("no file", str(error)) from None
        except Unfit as error:
            raise MakingFailed(error.reason, str(error)) from None
        except ConversionError as error:
            raise MakingFailed("broken file", str(error)) from None
        return self._keep(data, name, wanted)

    def _keep(self, data: bytes, name: str, wanted: Wanted) -> File:
        with tempfile.TemporaryDirectory(prefix="sport-made-") as folder:
            (Path(folder) / name).write_bytes(data)
            files, problems = Intake(Path(folder), self._blobs, self._max_pixels).take([name])
        if problems:
            raise MakingFailed("broken file", problems[0])
        caption = textwrap.shorten(wanted.description, _CAPTION, placeholder=" …")
        told = {"name": name, "source": f"made: {wanted.kind}", "caption": caption}
        return files[0].model_copy(update=told)


def as_text(file: File, limit_chars: int) -> str:
    """What a file that is no picture says, as far as it goes into a prompt.

    It is read in a process of its own; see :func:`sport.tools.convert.convert`.

    Args:
        file: It.
        limit_chars: Longest text; more is cut, and the end says how much.

    Raises:
        ToolNotFound: The package that reads documents is missing.
        ConversionError: The file is broken, a picture, or of an unknown kind.
        BlobError: Its bytes are missing.
    """
    needs("reading files that were made", "markitdown", "makers")
    data = BlobStore(file.blobs).read(file)
    text = convert(data, PurePosixPath(file.name).suffix.lower(), file.name)
    return clip(fit(text), limit_chars)


def _stem(wanted: Wanted) -> str:
    return safe_name(wanted.name).replace(".", "_")


def _opening(wanted: Wanted) -> tuple[Message, ...]:
    stem = _stem(wanted)
    values = {
        "kind": wanted.kind,
        "names": " or ".join(stem + suffix for suffix in SUFFIXES[wanted.kind]),
        "description": wanted.description,
        "library": _LIBRARIES[wanted.kind],
    }
    return messages_of("make", values)


def _read(text: str) -> str:
    """The code in a model's answer."""
    code = parse_action(text).code
    if code is None:
        raise Unusable("it must hold one block ```python … ``` of code, and no other block")
    return code


def _repair(code: str, failed: MakingFailed) -> tuple[Message, Message]:
    """What the model is told of code that did not do it."""
    told = f"That did not work ({failed.reason}). {str(failed)[-_TOLD:]}\n\n"
    return (
        Message(role="assistant", text=f"```python\n{code}\n```"),
        Message(role="user", text=told + "Write the whole code again, mended, as one block."),
    )


def _the_one(outcome: Outcome, suffixes: Sequence[str]) -> ProducedFile:
    """The one file that code left, if it is called as it should be."""
    if outcome.status != "ok":
        told = observe(Action(text=""), outcome).text
        reason = "code failed" if outcome.status == "error" else f"sandbox: {outcome.status}"
        raise MakingFailed(reason, told)
    if len(outcome.files) > 1:
        names = ", ".join(file.path for file in outcome.files[:5])
        raise MakingFailed(
            "several files", f"{len(outcome.files)} files were left: {names}. Leave one alone."
        )
    wanted = " or ".join(suffixes)
    if not outcome.files:
        raise MakingFailed("no file", f"No regular file was left: save one file, a {wanted}.")
    [file] = outcome.files
    if "/" in file.path:
        raise MakingFailed("no file", f"{file.path} lies in a folder: save it without one.")
    if PurePosixPath(file.path).suffix.lower() not in suffixes:
        raise MakingFailed("wrong kind of file", f"{file.path} was left: it must be a {wanted}.")
    if file.size > MAX_BYTES:
        raise MakingFailed("too large", f"{file.path} has {file.size:,} bytes: {MAX_BYTES:,} fit.")
    return file
