"""Hostile code of a file maker: each attack is stopped, and told as one countable reason.

Attacks aim at what the test made, and do little harm where a wall fails. Two are run without
walls as well, where they work.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE as KIND
from pptx.enum.shapes import PROG_ID
from pptx.util import Inches
from reportlab.pdfgen.canvas import Canvas

from sport.blobs import BlobStore
from sport.sandbox import ForkSandbox, Limits
from sport.synthesis.making import FileMaker, Made, MakingFailed, Wanted
from sport.synthesis.making import Kind as FileKind
from sport.synthesis.office import check_office
from sport.synthesis.readback import check
from sport.synthesis.unfit import Unfit
from synthesis.made_files import Answers, answer

SECRET = "swordfish-1874"
LIMITS = Limits(wall_s=20, cpu_s=1, memory_mb=256)

Attack = Callable[..., Awaitable[Made]]


@pytest.fixture(params=[None])
async def attack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Attack]:
    """Has hostile code make a file; the parameter is the tier."""
    async with ForkSandbox(
        limits=LIMITS, tier=request.param, unsafe_local=bool(request.param)
    ) as s:

        async def made(code: str, kind: FileKind = "text") -> Made:
            maker = FileMaker(
                Answers(*[answer(code)] * 2), s, BlobStore(tmp_path / "blobs"), 10_000
            )
            return await maker.make(Wanted(kind=kind, description="x", name="file_0"), "make it")

        yield made


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    file = tmp_path / "planted"
    file.write_text(SECRET)
    file.chmod(0o666)
    return file


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A port of the loopback, and what was sent to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def listen() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(100))

        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1], heard
        with socket.socket() as waker:  # nobody may have come
            waker.connect_ex(listener.getsockname())
        thread.join()


def reading(path: Path) -> str:
    return f"open('file_0.txt', 'w').write(open({str(path)!r}).read())"


def sending(port: int) -> str:
    return (
        f"import socket\nwith socket.create_connection(('127.0.0.1', {port}), 2) as s:\n"
        f"    s.sendall(b'{SECRET}')\nopen('file_0.txt', 'w').write('sent')"
    )


async def test_files_of_the_host_are_not_read(attack: Attack, planted: Path) -> None:
    with pytest.raises(MakingFailed, match="PermissionError|FileNotFoundError") as failed:
        await attack(reading(planted))
    assert failed.value.reason == "code failed" and SECRET not in str(failed.value)


async def test_nothing_is_sent(attack: Attack, server: tuple[int, list[bytes]]) -> None:
    port, heard = server
    with pytest.raises(MakingFailed) as failed:
        await attack(sending(port))
    assert failed.value.reason == "code failed" and not heard


@pytest.mark.parametrize("attack", ["unsafe_local"], indirect=True)
async def test_without_walls_the_attacks_work(
    attack: Attack, planted: Path, server: tuple[int, list[bytes]]
) -> None:
    made = await attack(reading(planted))
    assert BlobStore(made.file.blobs).read(made.file).decode() == SECRET
    port, heard = server
    await attack(sending(port))
    assert heard == [SECRET.encode()]


async def test_a_symlink_is_no_file(attack: Attack, planted: Path) -> None:
    with pytest.raises(MakingFailed) as failed:
        await attack(f"import os\nos.symlink({str(planted)!r}, 'file_0.txt')")
    assert failed.value.reason == "no file" and SECRET not in str(failed.value)


async def test_no_environment_is_seen(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_API_KEY", SECRET)
    made = await attack("import os\nopen('file_0.txt', 'w').write(repr(dict(os.environ)))")
    assert SECRET not in BlobStore(made.file.blobs).read(made.file).decode()


@pytest.mark.parametrize(("reason", "code"), [
    pytest.param("sandbox: timeout", "while True: pass", marks=pytest.mark.slow),
    ("sandbox: memory", "x = bytearray(1 << 30)"),
    ("sandbox: disk", "open('file_0.txt', 'w').truncate(600 << 20)"),
    pytest.param("sandbox: died", "import os, time\nfor _ in range(100):\n"
                 "    if os.fork() == 0:\n        time.sleep(3)\n        os._exit(0)",
                 id="sandbox: forks"),
])  # fmt: skip
async def test_what_takes_too_much_is_ended(attack: Attack, reason: str, code: str) -> None:
    with pytest.raises(MakingFailed) as failed:
        await attack(code)
    assert failed.value.reason == reason


async def test_a_zip_bomb_is_not_unpacked(attack: Attack) -> None:
    code = (
        "import zipfile\nwith zipfile.ZipFile('file_0.xlsx', 'w', zipfile.ZIP_DEFLATED) as f:\n"
        "    f.writestr('xl/workbook.xml', bytes(100 << 20))"
    )
    with pytest.raises(MakingFailed, match="unpacks to") as failed:
        await attack(code, "spreadsheet")
    assert failed.value.reason == "too large"


async def test_a_picture_that_is_a_bomb_is_not_decoded(attack: Attack) -> None:
    code = f"open('file_0.png', 'wb').write({png(60_000, 60_000)!r})"
    with pytest.raises(MakingFailed, match="60,000 x 60,000") as failed:
        await attack(code, "picture")
    assert failed.value.reason == "too large"


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def word(change: Callable[[docx.document.Document], object] = lambda d: None) -> bytes:
    document = docx.Document()
    document.add_paragraph("x")
    change(document)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def rewritten(data: bytes, **changes: Callable[[bytes], bytes]) -> bytes:
    """An archive with parts changed, by the beginning of their names, or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            change = next((c for start, c in changes.items() if name.startswith(start)), None)
            content = source.read(name)
            target.writestr(name, content if change is None else change(content))
    return out.getvalue()


def with_part(data: bytes, name: str, content: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def linked(kind: str, target: str) -> bytes:
    return word(lambda d: d.part.relate_to(target, kind, is_external=True))


def with_object() -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    slide.shapes.add_ole_object(io.BytesIO(word()), PROG_ID.DOCX, Inches(1), Inches(1))
    data = io.BytesIO()
    deck.save(data)
    return data.getvalue()


def typed(old: bytes, new: bytes) -> bytes:
    return rewritten(word(), **{"[Content_Types]": lambda types: types.replace(old, new)})


TEMPLATE = KIND.IMAGE.replace("image", "attachedTemplate")
MACROS = (b"vnd.openxmlformats-officedocument.wordprocessingml.document.main",
          b"vnd.ms-word.document.macroEnabled.main")  # fmt: skip
DTD = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'


@pytest.mark.parametrize(("reason", "suffix", "data"), [
    ("active content", ".docx", with_part(typed(*MACROS), "word/vbaProject.bin", b"macro")),
    ("active content", ".docx", typed(*MACROS)),
    ("active content", ".docx", with_part(word(), "word/vbaProject.bin", b"macro")),
    ("active content", ".docx", with_part(word(), "word/embeddings/oleObject1.bin", b"x")),
    ("active content", ".docx", with_part(word(), "word/footnotes.xml", DTD)),
    ("broken file", ".docx", with_part(word(), "word/a.xml", DTD.decode().encode("utf-16"))),
    ("active content", ".docx", linked(KIND.IMAGE, "http://127.0.0.1/x.png")),
    ("active content", ".docx", linked(TEMPLATE, "http://127.0.0.1/x.dotm")),
    ("active content", ".docx", linked(KIND.HYPERLINK, "file:///etc/passwd")),
    ("active content", ".pptx", with_object()),
    ("wrong kind of file", ".xlsx", word()),
    ("wrong kind of file", ".xlsx", b"PK\3\4 and then nothing"),
    ("wrong kind of file", ".docx", with_part(word(), "../../x.xml", b"<x/>")),
    ("wrong kind of file", ".docx", word()[:-200]),
    ("wrong kind of file", ".png", b"GIF89a" + bytes(50)),
    ("wrong kind of file", ".pdf", b"<html>"),
])  # fmt: skip
def test_files_that_do_more_than_show_are_refused(reason: str, suffix: str, data: bytes) -> None:
    with pytest.raises(Unfit) as unfit:
        check(data, suffix)
    assert unfit.value.reason == reason


def test_the_file_that_is_changed_above_is_taken_as_it_is() -> None:
    check(word(), ".docx")
    check(linked(KIND.HYPERLINK, "https://harbour.example/"), ".docx")
    check(png(10, 10), ".png")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_part_that_is_larger_than_it_says_is_not_unpacked(method: int) -> None:
    size, told = 30 << 20, 10
    out = io.BytesIO(word())
    with zipfile.ZipFile(out, "a", method) as archive:
        archive.writestr("word/zeros.bin", bytes(size))
    data = out.getvalue()
    for old, new in ((size, told), (zlib.crc32(bytes(size)), zlib.crc32(bytes(told)))):
        data = data.replace(struct.pack("<I", old), struct.pack("<I", new))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.getinfo("word/zeros.bin").file_size == told
    tracemalloc.start()
    with pytest.raises(Unfit) as unfit:
        check_office(data, ".docx")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert unfit.value.reason == "wrong kind of file" and peak < size / 4


def test_formulas_are_told_from_values() -> None:
    book = openpyxl.Workbook()
    book.active.append([1, 2, "f <f> f"])
    data = io.BytesIO()
    book.save(data)
    check(data.getvalue(), ".xlsx")
    book.active.append(["=A1+B1"])
    data = io.BytesIO()
    book.save(data)
    with pytest.raises(Unfit, match="write the values"):
        check(data.getvalue(), ".xlsx")


@pytest.mark.parametrize(
    "action",
    [
        b"/OpenAction 5 0 R",
        b"/S /JavaScript /JS (app.alert\\(1\\))",
        b"/S/J#61vaScript",
        b"/S /Launch /F (x)",
        b"/Names << /EmbeddedFiles 5 0 R >>",
        b"/Type /ObjStm",
        b"/Encrypt 5 0 R",
    ],
)
def test_a_pdf_that_acts_is_refused(action: bytes) -> None:
    drawn = io.BytesIO()
    canvas = Canvas(drawn)
    canvas.drawString(72, 700, "x")
    canvas.save()
    data = drawn.getvalue()
    check(data, ".pdf")
    with pytest.raises(Unfit) as unfit:
        check(data.replace(b"/PageMode /UseNone", action, 1), ".pdf")
    assert unfit.value.reason == "active content"
