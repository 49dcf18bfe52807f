"""Documents of every kind, made by libraries that nobody here wrote, come out as their text."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from reportlab.pdfgen.canvas import Canvas

from fault_server import FaultServer
from sport.remote.config import ServerSettings
from sport.tools.builtin import BUILTIN
from sport.tools.convert import SUFFIXES
from sport.tools.pages import in_pages

FACT = "The harbour opened in 1874 with 12 cranes."


def pdf(path: Path) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, FACT)
    canvas.save()


def word(path: Path) -> None:
    document = docx.Document()
    document.add_heading("History", 1)
    document.add_paragraph(FACT)
    document.save(str(path))


def slides(path: Path) -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "History"
    slide.placeholders[1].text = FACT
    deck.save(str(path))


def workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["fact", "year"])
    book.active.append([FACT, 1874])
    book.save(path)


def table(path: Path) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["fact", "year"], [FACT, 1874]])


def web_page(path: Path) -> None:
    path.write_text(f"<html><script>alert(1)</script><h1>History</h1><p>{FACT}</p></html>")


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, make in (("deep/a.docx", word), ("b.csv", table)):
            part = path.with_name(Path(name).name)
            make(part)
            file.write(part, name)


MAKERS: dict[str, Callable[[Path], None]] = {
    ".pdf": pdf, ".docx": word, ".pptx": slides, ".xlsx": workbook, ".csv": table,
    ".html": web_page, ".zip": archive, ".txt": lambda path: path.write_text(FACT) and None,
}  # fmt: skip


def inspect(folder: Path, *args: Any, **options: Any) -> str:
    tool = BUILTIN["inspect_file_as_text"](**options)
    return str(tool(folder, tool.bind(args, {})))


@pytest.mark.parametrize("suffix", MAKERS)
def test_documents_are_read(suffix: str, tmp_path: Path) -> None:
    MAKERS[suffix](tmp_path / f"x{suffix}")
    text = inspect(tmp_path, f"x{suffix}")
    assert FACT in text and "alert" not in text
    if suffix == ".zip":
        assert text.count(FACT) == 2 and "deep/a.docx" in text


def test_long_texts_come_in_pages_and_a_question_picks_one(tmp_path: Path) -> None:
    lines = [f"Line {i} tells of ordinary things." for i in range(600)]
    lines[400] = FACT
    (tmp_path / "long.txt").write_text("\n".join(lines))
    first = inspect(tmp_path, "long.txt")
    assert first.startswith("(long.txt, page 1 of 4; page=2 reads on)\nLine 0 ")
    assert inspect(tmp_path, "long.txt", None, 4).startswith("(long.txt, page 4 of 4)\n")
    assert FACT in inspect(tmp_path, "long.txt", "When was the harbour opened?")
    with pytest.raises(ValueError, match="has 4 pages, and no page 5"):
        inspect(tmp_path, "long.txt", None, 5)


def test_pages_lose_nothing() -> None:
    text = "\n".join(f"{i} " + "word " * (i % 40) for i in range(900)) + "x" * 15_000
    pages = in_pages(text)
    assert max(map(len, pages)) <= 6_000
    assert "".join("".join(pages).split()) == "".join(text.split())


def test_a_model_behind_a_server_answers_questions(tmp_path: Path) -> None:
    (tmp_path / "facts.txt").write_text(FACT)
    with FaultServer(says=lambda body: ["In 1874."]) as server:
        settings = ServerSettings(url=server.url, model="base")
        answer = inspect(tmp_path, "facts.txt", "When did it open?", server=settings)
    sent = server.requests[0]["messages"][-1]["content"]
    assert answer == "In 1874." and FACT in sent and "When did it open?" in sent


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", b"%PDF-1.4 and then nothing", "a.pdf.*cannot be read"),
        ("a.docx", b"PK no archive", "a.docx.*cannot be read"),
        ("a.exe", b"MZ", "a.exe.*no document.*known: .*\\.pdf"),
        ("a.png", b"\x89PNG", "a.png.*use ocr"),
        ("a.mp3", b"ID3", "no Whisper model"),
    ],
)
def test_what_cannot_be_read_is_told(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        inspect(tmp_path, name)


def test_an_archive_that_unpacks_to_much_ends_with_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("zeros.txt", "w", force_zip64=True) as part:
            for _ in range(5):
                part.write(bytes(64 << 20))
    with pytest.raises(ValueError, match="bomb.zip.*unpacks to 320 MiB"):
        inspect(tmp_path, "bomb.zip")


def test_a_parser_that_takes_too_much_memory_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "markitdown.py").write_text("bytes(8 << 30)")
    monkeypatch.syspath_prepend(str(tmp_path))
    web_page(tmp_path / "x.html")
    with pytest.raises(ValueError, match="x.html.*too much memory"):
        inspect(tmp_path, "x.html")


def test_the_parsers_process_holds_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that a broken parser would run is put in the parser's place."""
    (tmp_path / "markitdown.py").write_text("import os, sys\nsys.exit(repr(sorted(os.environ)))")
    monkeypatch.setenv("MY_API_KEY", "secret")
    monkeypatch.syspath_prepend(str(tmp_path))
    web_page(tmp_path / "x.html")
    with pytest.raises(ValueError, match="cannot be read") as caught:
        inspect(tmp_path, "x.html")
    assert "PYTHONPATH" in str(caught.value) and "MY_API_KEY" not in str(caught.value)
    assert os.environ["MY_API_KEY"] == "secret"


def test_every_kind_of_the_task_is_known() -> None:
    assert {".pdf", ".docx", ".pptx", ".xlsx", ".csv", ".html", ".zip"} <= SUFFIXES
