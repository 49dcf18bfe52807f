"""Looks that keep the interpreter's lock tell what those of the standard library tell."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sport.sandbox import gil_io


def test_a_status_is_that_of_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10_000))
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path, tmp_path / "file", Path("/dev/null")):
        expected = os.stat(path)
        status = gil_io.status(str(path))
        assert status == tuple(getattr(expected, name) for name in status._fields)
    folder = gil_io.open(str(tmp_path), os.O_RDONLY)
    assert gil_io.status("link", folder).st_size == 10_000
    assert gil_io.status("link", folder, follow=False).st_size == len("file")
    gil_io.close(folder)


def test_names_are_those_of_the_standard_library(tmp_path: Path) -> None:
    for name in ("a", "\udcff", "x" * 255, ".hidden"):
        (tmp_path / name).touch()
    folder = gil_io.open(str(tmp_path), os.O_RDONLY)
    for _ in range(2):
        assert sorted(gil_io.names(".", folder)) == sorted(os.listdir(tmp_path))
    gil_io.close(folder)


def test_files_are_read_whole_or_up_to_a_bound(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    (tmp_path / "file").write_bytes(content)
    assert gil_io.read(str(tmp_path / "file")) == content
    assert gil_io.read(str(tmp_path / "file"), 1_000) == content[:1_000]
    assert gil_io.read("/proc/self/maps").count(b"\n") > 10


@pytest.mark.parametrize("look", [gil_io.read, gil_io.names, gil_io.status])
def test_what_is_not_there_is_an_error_that_names_it(look: Callable[[str], object]) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError, match="absent") as failed:
        look("/proc/self/absent")
    assert failed.value.errno == errno.ENOENT
    assert os.listdir("/proc/self/fd") == before
