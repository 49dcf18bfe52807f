import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sport.blobs import BlobError, BlobStore


def test_bytes_come_back_and_lie_under_their_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    file = store.put(b"hello", "note.txt", "text/plain", "my note.txt")
    assert store.read(file) == b"hello"
    assert file.path.read_bytes() == b"hello"
    assert file.path == tmp_path / "blobs" / file.sha256[:2] / file.sha256
    assert (file.name, file.media_type, file.source) == ("note.txt", "text/plain", "my note.txt")


def test_equal_bytes_are_stored_once_whatever_their_names(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    first, second = store.put(b"x", "a", "text/plain"), store.put(b"x", "b", "text/csv")
    assert first.sha256 == second.sha256
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [first.path]


def test_a_relative_folder_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = BlobStore(Path("blobs")).put(b"x", "a", "text/plain")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert file.path.read_bytes() == b"x"


def test_a_torn_blob_is_written_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    file = store.put(b"whole", "a", "text/plain")
    file.path.write_bytes(b"who")
    assert store.read(store.put(b"whole", "a", "text/plain")) == b"whole"


def test_missing_and_changed_blobs_are_named(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    file = store.put(b"whole", "a.txt", "text/plain", "mine.txt")
    file.path.write_bytes(b"other")
    with pytest.raises(BlobError, match="mine.txt.*changed"):
        store.read(file)
    file.path.unlink()
    with pytest.raises(BlobError, match="mine.txt.*missing"):
        store.read(file)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        BlobStore(tmp_path).put(b"x" * 1000, "a", "text/plain")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_many_writers_of_one_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    data = b"y" * 200_000
    with ThreadPoolExecutor(8) as pool:
        files = list(
            pool.map(lambda _: BlobStore(tmp_path).put(data, "a", "text/plain"), range(32))
        )
    assert len({f.sha256 for f in files}) == 1
    assert BlobStore(tmp_path).read(files[0]) == data
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [files[0].path]
