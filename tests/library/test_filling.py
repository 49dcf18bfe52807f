"""Filling a library: each picture once, what is odd reported, an interrupted call goes on."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import lancedb
import pytest
from PIL import Image

from library.sample_pictures import PICTURES, sample
from sport.library import Library, LibraryError
from sport.types import File


def reasons(report) -> dict[str, str]:
    return {Path(skipped.path).name: skipped.reason for skipped in report.skipped}


def stored(folder: Path) -> int:
    return sum(1 for file in (folder / "blobs").rglob("[!.]*") if file.is_file())


def test_pictures_and_captions_come_in_and_are_found(library, photos) -> None:
    report = library.add([photos])
    assert (report.added, report.known, report.skipped, report.near) == (9, 0, [], [])
    [hit] = library.search("a cat", n=1)
    assert hit.caption == hit.file.caption == PICTURES["chelsea.png"]
    assert isinstance(hit.file, File) and hit.similarity is None and hit.score > 0
    assert hit.file.name == "chelsea.png" and hit.file.source == str(photos / "chelsea.png")
    with Image.open(hit.file.path) as taken, Image.open(sample("chelsea.png")) as given:
        assert taken.tobytes() == given.tobytes()


def test_added_twice_is_once(library, photos, tmp_path) -> None:
    library.add([photos])
    shutil.copytree(photos, tmp_path / "copy")
    for path in (photos, tmp_path / "copy", photos / "coffee.png"):
        report = library.add([path])
        assert report.added == 0 and report.known == (1 if path.is_file() else 9)
    assert library.stats().pictures == stored(tmp_path / "library") == 9
    assert len(library.search("temple")) == 1


def test_the_same_pixels_in_another_file_are_the_same_picture(library, photos, tmp_path) -> None:
    library.add([photos])
    with Image.open(photos / "coffee.png") as image:
        image.save(photos / "again.png", compress_level=1)
    (photos / "again.txt").write_text("the espresso again")
    report = library.add([photos])
    assert (report.added, report.known) == (0, 10)
    assert library.search("again") == []


def test_a_mended_caption_replaces_the_old_one(library, photos) -> None:
    library.add([photos])
    (photos / "coins.txt").write_text("roman money")
    report = library.add([photos])
    assert (report.added, report.known, report.recaptioned) == (0, 8, 1)
    assert library.search("greek") == []
    assert library.search("money")[0].caption == "roman money"
    assert library.stats().pictures == 9


def test_near_duplicates_are_kept_and_reported(library, photos) -> None:
    with Image.open(sample("rocket.jpg")) as image:
        image.resize((200, 133)).save(photos / "small.jpg", quality=40)
    (photos / "small.txt").write_text("a small rocket")
    report = library.add([photos])
    assert report.added == 10
    [near] = report.near
    assert (Path(near.path).name, Path(near.other).name) == ("small.jpg", "rocket.jpg")
    assert near.distance <= 6
    assert library.stats().near == 1
    assert {h.file.name for h in library.search("rocket")} == {"rocket.png", "small.png"}


def bomb() -> bytes:
    """A PNG of 20000 x 20000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)
        )

    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_odd_pictures_are_skipped_with_their_reasons(library, photos) -> None:
    with Image.open(sample("chelsea.png")) as image:
        image.convert("CMYK").save(photos / "print.jpg")
        image.save(photos / "really.jpg", "PNG")
        image.save(photos / "unnamed.dat", "PNG")
    shutil.copy(sample("no_time_for_that_tiny.gif"), photos / "moving.gif")
    shutil.copy(sample("multipage.tif"), photos / "pages.tif")
    (photos / "bomb.png").write_bytes(bomb())
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("no picture at all")
    whole = sample("china.jpg").read_bytes()
    (photos / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    shutil.copy(sample("moon.png"), photos / "silent.png")
    (photos / "film.mp4").write_bytes(b"film")
    told = ("print", "really", "unnamed", "moving", "pages", "bomb", "empty", "text", "torn")
    for stem in told:
        (photos / f"{stem}.txt").write_text("a caption")
    (photos / "lonely.txt").write_text("of no picture")
    report = library.add([photos])
    assert report.added == 9
    expected = {
        "print.jpg": "CMYK",
        "really.jpg": "by its content it is PNG",
        "unnamed.dat": "by its content it is PNG",
        "moving.gif": "an animation",
        "pages.tif": "holds 2 pictures",
        "bomb.png": "178 million pixels",
        "empty.png": "is empty",
        "text.jpg": "not a picture",
        "torn.jpg": "broken or truncated",
        "silent.png": "no caption",
        "film.mp4": "no picture",
        "lonely.txt": "no caption of a picture",
    }
    found = reasons(report)
    assert found.keys() == expected.keys()
    for name, words in expected.items():
        assert words in found[name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_skipped(library, photos) -> None:
    (photos / "coins.png").chmod(0)
    report = library.add([photos])
    assert report.added == 8 and "cannot be read" in reasons(report)["coins.png"]


def test_a_library_inside_the_folder_is_not_taken_into_itself(photos) -> None:
    library = Library.open(photos / "library")
    assert library.add([photos]).added == 9
    report = library.add([photos])
    assert (report.added, report.known, report.skipped) == (0, 9, [])


def test_a_killed_call_goes_on(photos, tmp_path) -> None:
    for number in range(300):
        with Image.open(sample("coins.png")) as image:
            image.crop((number, 0, number + 60, 60)).save(photos / f"c{number:03}.png")
        (photos / f"c{number:03}.txt").write_text(f"part number {number}")
    code = (
        "import sys; from pathlib import Path; from sport.library import Library\n"
        "Library.open(Path(sys.argv[1])).add([Path(sys.argv[2])], lambda *a: print(*a, flush=True))"
    )
    folder = tmp_path / "library"
    command = [sys.executable, "-c", code, str(folder), str(photos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "64 309\n"
        time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    library = Library.open(folder)
    before = library.stats().pictures
    assert 64 <= before < 309
    assert library.search("part number 3")  # What was written is found, though nothing was settled.
    report = library.add([photos])
    assert (report.known, report.added) == (before, 309 - before)
    assert library.stats().pictures == stored(folder) == 309
    assert library.search("part 299", n=1)[0].caption == "part number 299"


def test_a_table_whose_index_was_not_made_gets_it(library, photos, tmp_path) -> None:
    library.add([photos])
    lancedb.connect(tmp_path / "library" / "tables").open_table("pictures").drop_index(
        "caption_idx"
    )
    library.add([photos])
    assert library.search("temple", n=1)[0].caption == PICTURES["china.jpg"]


def test_two_processes_do_not_fill_one_library(photos, tmp_path) -> None:
    library, second = (Library.open(tmp_path / "library") for _ in range(2))
    refused = []

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(LibraryError, match="filled by another process"):
            second.add([photos])
        refused.append(done)

    library.add([photos], meanwhile)
    assert refused == [9]
    assert second.add([photos]).known == 9


def test_what_is_not_there_is_an_error(library, photos, tmp_path) -> None:
    with pytest.raises(LibraryError, match=r"nowhere does not exist"):
        library.add([photos, tmp_path / "nowhere"])
    with pytest.raises(LibraryError, match="sport images add DIR"):
        library.search("cat")
    with pytest.raises(LibraryError, match="sport images add DIR"):
        library.stats()
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "tables").write_text("x")
    for address in ("s3://bucket", Path("gs://bucket/library")):
        with pytest.raises(LibraryError, match="Give a folder, or s3://BUCKET/PREFIX"):
            Library.open(address)
    with pytest.raises(LibraryError, match="not a folder"):
        Library.open(tmp_path / "file")
