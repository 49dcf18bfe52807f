"""A library on object storage, with a server on the loopback that speaks its protocol."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from library.sample_pictures import PICTURES
from sport.blobs import BlobStore
from sport.library import Library, LibraryError
from sport.recipes import load_recipe
from sport.sources import open_source
from storage_server import StorageServer

WHERE = "s3://bucket/pictures"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer() as server:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def sport(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sport", "images", *map(str, arguments), "--library", WHERE]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_is_filled_and_searched_as_a_folder_is(storage, photos, model) -> None:
    library = Library.open(WHERE, model)
    report = library.add([photos])
    assert (report.added, report.embedded) == (len(PICTURES), len(PICTURES))
    assert library.add([photos]).known == len(PICTURES)
    [hit] = library.search("stars of the universe", n=1)
    assert hit.file.source.endswith("hubble_deep_field.jpg") and hit.file.path.is_file()
    [hit] = library.search("cat", n=1, mode="text")
    assert hit.file.source.endswith("chelsea.png")
    held = library.stats()
    assert held.pictures == len(PICTURES)
    assert held.bytes == sum(map(len, storage.objects.values())) > 2**20
    assert not any("/lock/" in key for key in storage.objects)


def test_near_duplicates_are_told(storage, only) -> None:
    from PIL import Image

    folder = only("a.png")
    with Image.open(folder / "a.png") as image:
        image.resize((image.width - 8, image.height - 8)).save(folder / "b.png")
    for name in "ab":
        (folder / f"{name}.txt").write_text(f"a cat, {name}")
    assert len(Library.open(WHERE).add([folder]).near) == 1


def test_another_process_with_an_empty_cache_fetches_only_its_hits(
    storage, photos, tmp_path
) -> None:
    added = sport("add", photos)
    assert added.returncode == 0 and "9 added" in added.stdout, added.stderr
    shutil.rmtree(tmp_path / "cache")
    storage.reads.clear()
    found = sport("search", "a cat", "-n", "1")
    assert "chelsea.png" in found.stdout, found.stderr
    assert sum("/blobs/" in key for key in storage.reads) == 1
    assert "9, 0 of them" in sport("stats").stdout


def test_changed_and_missing_pictures_are_told(storage, photos, tmp_path) -> None:
    library = Library.open(WHERE)
    library.add([photos])
    shutil.rmtree(tmp_path / "cache")
    [entry] = [e for e in library.pictures() if "chelsea" in e.file.source]
    key = f"pictures/blobs/{entry.file.sha256[:2]}/{entry.file.sha256}"
    storage.objects[key] += b"."
    with pytest.raises(LibraryError, match="was changed on the storage"):
        library.search("cat", n=1)
    assert not entry.file.path.exists()
    del storage.objects[key]
    with pytest.raises(LibraryError, match="lacks the picture"):
        library.fetch([entry])


def test_one_process_fills_it_at_a_time(storage, photos) -> None:
    library = Library.open(WHERE)
    said = []

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(LibraryError) as error:
            Library.open(WHERE).add([photos])
        said.append(str(error.value))

    library.add([photos], meanwhile)
    assert "is being filled by process" in said[0] and "/lock/ and try again" in said[0]
    assert library.add([photos]).known == len(PICTURES)


def test_what_does_not_answer_is_told_in_a_sentence(storage, photos, monkeypatch) -> None:
    with pytest.raises(LibraryError, match="no such bucket"):
        Library.open("s3://another/pictures").stats()
    with pytest.raises(LibraryError, match=r"sport images add DIR --library s3://bucket/pict"):
        Library.open(WHERE).search("cat")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    result = sport("search", "cat")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "cannot be reached" in " ".join(result.stderr.split())
    assert "nothing" not in result.stderr


def test_a_recipe_names_it_by_its_address(storage, photos, tmp_path) -> None:
    Library.open(WHERE).add([photos])
    shutil.rmtree(tmp_path / "cache")
    section = f'{{kind = "captions", library = "{WHERE}", tasks_per_round = 4}}'
    recipe = load_recipe("pocket", [f"synthesis={section}"])
    tasks = open_source(recipe, BlobStore(tmp_path / "blobs")).train(1)
    assert tasks and all(file.path.is_file() for task in tasks for file in task.files)
