"""Files that are made: real code in the real sandbox, opened again by other libraries.

A list of answers stands for the model that writes the code.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from xml.etree import ElementTree

import mammoth
import pytest
from pdfminer.high_level import extract_text
from PIL import Image

from sport.blobs import BlobStore
from sport.sandbox import ForkSandbox
from sport.synthesis.making import FileMaker, Kind, Made, MakingFailed, Wanted, as_text
from sport.tools.convert import ConversionError
from sport.tools.load import ToolNotFound
from sport.tools.ocr import ocr
from sport.types import File
from synthesis.made_files import (
    CHART,
    DOCUMENT,
    FACT,
    PDF,
    RECEIPT,
    SLIDES,
    SPREADSHEET,
    TABLE,
    TEXT,
    Answers,
    answer,
)


@pytest.fixture
async def sandbox() -> AsyncIterator[ForkSandbox]:
    async with ForkSandbox() as made:
        yield made


@pytest.fixture
def make(sandbox: ForkSandbox, tmp_path: Path) -> Callable[..., object]:
    blobs = BlobStore(tmp_path / "blobs")

    async def made(kind: Kind, *codes: str) -> tuple[Made, Answers]:
        answers = Answers(*map(answer, codes))
        maker = FileMaker(answers, sandbox, blobs, 500_000)
        wanted = Wanted(kind=kind, description=f"It says: {FACT}", name=f"{kind}_0")
        return await maker.make(wanted, "make it"), answers

    return made


def data_of(file: File) -> bytes:
    return BlobStore(file.blobs).read(file)


def texts_of(file: File, part: str) -> str:
    """All text of an XML part of an archive."""
    with zipfile.ZipFile(io.BytesIO(data_of(file))) as archive:
        return " ".join(ElementTree.fromstring(archive.read(part)).itertext())


async def test_pictures_are_made_and_can_be_read(make, tmp_path: Path) -> None:
    for kind, code in (("chart", CHART), ("receipt", RECEIPT)):
        made, _ = await make(kind, code)
        (tmp_path / "made.png").write_bytes(data_of(made.file))
        assert "1874" in ocr(tmp_path / "made.png")
        with Image.open(tmp_path / "made.png") as image:
            assert image.format == "PNG" and image.width * image.height <= 500_000
        assert made.file.name == f"{kind}_0.png" and made.file.is_image


async def test_a_spreadsheet_is_a_workbook(make) -> None:
    made, _ = await make("spreadsheet", SPREADSHEET)
    told = texts_of(made.file, "xl/worksheets/sheet1.xml")
    assert FACT in told and "1874" in told.replace(FACT, "")
    assert made.file.name == "spreadsheet_0.xlsx" and FACT in says(made.file)


async def test_a_document_with_a_picture_and_an_address_is_one(make) -> None:
    made, _ = await make("document", DOCUMENT)
    assert FACT in mammoth.extract_raw_text(io.BytesIO(data_of(made.file))).value
    assert made.file.name == "document_0.docx"


async def test_slides_with_a_chart_are_slides(make) -> None:
    made, _ = await make("slides", SLIDES)
    assert FACT in texts_of(made.file, "ppt/slides/slide1.xml")
    assert made.file.name == "slides_0.pptx"


async def test_a_pdf_is_one(make) -> None:
    made, _ = await make("pdf", PDF)
    assert FACT in " ".join(extract_text(io.BytesIO(data_of(made.file))).split())
    assert made.file.media_type == "application/pdf" and FACT in says(made.file)


async def test_texts_keep_the_suffix_that_fits(make) -> None:
    table, _ = await make("text", TABLE)
    text, _ = await make("text", TEXT)
    assert data_of(table.file).decode().split() == ["place,year", "harbour,1874"]
    assert (table.file.name, table.file.media_type) == ("text_0.csv", "text/csv")
    assert (text.file.name, data_of(text.file).decode()) == ("text_0.txt", FACT)
    assert as_text(text.file, 11) == "The harbour… (31 more)"


async def test_what_was_made_says_how_and_what(make) -> None:
    made, answers = await make("text", TEXT)
    assert made.file.source == "made: text" and made.file.caption == f"It says: {FACT}"
    assert made.code.strip() == TEXT.strip()
    asked = answers.chats[0][-1].text
    assert FACT in asked and "text_0.txt or text_0.csv" in asked and "{" not in asked


def says(file: File) -> str:
    return " ".join(as_text(file, 5_000).split())


async def test_a_picture_is_no_text(make) -> None:
    made, _ = await make("receipt", RECEIPT)
    with pytest.raises(ConversionError, match="receipt_0.png"):
        as_text(made.file, 100)


async def test_code_that_fails_is_mended_once(make) -> None:
    made, answers = await make("text", "x = 1\nprint('so far')\nnothing_there", TEXT)
    assert data_of(made.file).decode() == FACT and len(answers.chats) == 2
    first, second = answers.chats
    assert second[: len(first)] == first and "nothing_there" in second[-2].text
    told = second[-1].text
    assert "NameError: name 'nothing_there' is not defined (line 3)" in told and "so far" in told


async def test_code_that_fails_twice_is_given_up(make) -> None:
    with pytest.raises(MakingFailed, match="second") as failed:
        await make("text", "raise ValueError('first')", "raise ValueError('second')")
    assert failed.value.reason == "code failed"


async def test_an_answer_without_code_is_asked_for_again(
    sandbox: ForkSandbox, tmp_path: Path
) -> None:
    wanted = Wanted(kind="text", description="x", name="../../etc/text 0")
    answers = Answers("I would rather not.", answer(TEXT))
    maker = FileMaker(answers, sandbox, BlobStore(tmp_path), 100)
    made = await maker.make(wanted, "make it")
    assert made.file.name == "____etc_text_0.txt"
    maker = FileMaker(Answers("No.", "No."), sandbox, BlobStore(tmp_path), 100)
    with pytest.raises(MakingFailed) as failed:
        await maker.make(wanted, "make it")
    assert failed.value.reason == "no code"


@pytest.mark.parametrize(("reason", "code"), [
    ("no file", "x = 1"),
    ("no file", "open('.text_0.txt', 'w').write('x')"),
    ("no file", "import os\nos.mkdir('a')\nopen('a/text_0.txt', 'w').write('x')"),
    ("no file", "import os\nos.mkdir('text_0.txt')"),
    ("several files", "for i in (0, 1): open(f'text_{i}.txt', 'w').write('x')"),
    ("wrong kind of file", "open('text_0.md', 'w').write('x')"),
    ("wrong kind of file", "open('text_0.txt', 'wb').write(b'\\xff\\xfe')"),
    ("wrong kind of file", "open('text_0.txt', 'wb').write(b'MZ\\0')"),
    ("empty file", "open('text_0.txt', 'w').close()"),
    ("empty file", "open('text_0.txt', 'w').write('\\n \\n')"),
    ("too large", "open('text_0.txt', 'w').truncate(100 << 20)"),
])  # fmt: skip
async def test_what_is_not_one_text_file_is_named(make, reason: str, code: str) -> None:
    with pytest.raises(MakingFailed) as failed:
        await make("text", code, code)
    assert failed.value.reason == reason and len(str(failed.value)) > 10


def test_a_package_that_is_missing_is_named(
    sandbox: ForkSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = BlobStore(tmp_path).put(FACT.encode(), "text_0.txt", "text/plain")
    monkeypatch.setitem(sys.modules, "reportlab", None)
    with pytest.raises(ToolNotFound, match=r"reportlab: pip install 'sport-agents\[makers\]'"):
        FileMaker(Answers(), sandbox, BlobStore(tmp_path), 100)
    monkeypatch.setitem(sys.modules, "markitdown", None)
    with pytest.raises(ToolNotFound, match=r"markitdown: pip install 'sport-agents\[makers\]'"):
        as_text(file, 100)
