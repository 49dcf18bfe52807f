"""Functions as tools, outside of any sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sport.tools.base import Tool, ToolNotFound, as_tool, load_tools, tool


@tool(timeout_s=5)
def locate(object: str, image_path: Path, limit: int = 3, mask: Path | None = None) -> list[int]:
    """Finds an object."""
    return [len(object), len(image_path.read_bytes()), limit, 0 if mask is None else 1]


@tool
def merge(paths: list[Path]) -> dict[str, Any]:
    """Reads files."""
    return {p.name: p.read_text() for p in paths}


def plain(x: float) -> float:
    """Doubles."""
    return 2 * x


def test_what_the_prompt_shows() -> None:
    assert locate.signature == (
        "locate(object: str, image_path: str, limit: int = 3, mask: str | None = None) -> list[int]"
    )
    assert locate.description == "Finds an object."
    assert (locate.deterministic, locate.timeout_s) == (True, 5)
    assert merge.signature == "merge(paths: list[str]) -> dict[str, Any]"
    made = as_tool(plain)
    assert (made.name, made.deterministic) == ("plain", False)
    assert as_tool(made) is made


def test_a_call_reads_files_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for path in ("a.txt", "./a.txt", "sub/../a.txt", "/workspace/a.txt", str(tmp_path / "a.txt")):
        arguments = locate.bind(["cat"], {"image_path": path})
        assert locate(tmp_path, arguments) == [3, 5, 3, 0]
    arguments = locate.bind(["cat", "a.txt"], {"mask": "a.txt"})
    assert locate(tmp_path, arguments) == [3, 5, 3, 1]
    assert merge(tmp_path, {"paths": ["a.txt"]}) == {"a.txt": "hello"}


def test_the_function_gets_a_private_copy(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    seen: list[Path] = []

    @tool
    def spoil(path: Path) -> Path:
        """Changes its argument."""
        seen.append(path)
        path.write_text("changed")
        return path

    assert spoil(tmp_path, {"path": "a.txt"}) == "a_1.txt"
    assert (tmp_path / "a.txt").read_text() == "hello"
    assert (tmp_path / "a_1.txt").read_text() == "changed"
    assert seen[0].is_absolute()
    assert not seen[0].exists()


@pytest.mark.parametrize("path", ["../x", "/etc/hostname", "sub/../../x", "/workspace/../x"])
def test_files_outside_are_refused(tmp_path: Path, path: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "x").write_text("outside")
    with pytest.raises(PermissionError, match="outside the workspace"):
        merge(work, {"paths": [path]})


def test_symlinks_are_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "x").write_text("outside")
    (work / "file").symlink_to(tmp_path / "x")
    (work / "folder").symlink_to(tmp_path)
    for path in ("file", "folder/x"):
        with pytest.raises(PermissionError, match="symlink"):
            merge(work, {"paths": [path]})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ([], {}, "locate needs argument 'object'; call it as locate\\("),
        (["a", "b", 1, None, 5], {}, "takes 4 arguments, got 5"),
        (["a", "b"], {"size": 1}, "has no argument 'size'"),
        (["a", "b"], {"limit": "many"}, "wants int as 'limit', got 'many'"),
        ([1, "b"], {}, "wants str as 'object', got 1"),
    ],
)
def test_arguments_that_do_not_fit(args: list[Any], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        locate.bind(args, kwargs)


def test_functions_that_cannot_be_tools() -> None:
    async def waits() -> None: ...

    def anything(*args: int) -> None: ...

    for value, message in ((waits, "coroutine"), (anything, "name its parameters"), (3, "no tool")):
        with pytest.raises(TypeError, match=message):
            as_tool(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not a Python name"):
        Tool(plain, name="my tool")


def builtin() -> Tool:
    return as_tool(plain)


def test_tools_are_found_by_name_and_in_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("FACTOR = 3")
    (tmp_path / "my_tools.py").write_text(
        "from helper_of_mine import FACTOR\nfrom sport.tools.base import tool\n"
        "def weigh(x: int) -> int:\n    return FACTOR * x\n"
        "@tool(name='scale')\ndef other(x: int) -> int:\n    return x\n"
    )
    tools = load_tools(["plain", "my_tools:weigh", "my_tools:other"], {"plain": builtin}, tmp_path)
    assert list(tools) == ["plain", "weigh", "scale"]
    assert tools["weigh"](tmp_path, {"x": 2}) == 6


def test_two_folders_may_have_modules_of_one_name(tmp_path: Path) -> None:
    for name, factor in (("a", 2), ("b", 3)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "mine.py").write_text(f"def times(x: int) -> int:\n    return {factor} * x\n")
        assert load_tools(["mine:times"], {}, folder)["times"](tmp_path, {"x": 2}) == 2 * factor


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("plian", "unknown tool 'plian'; did you mean 'plain'"),
        ("zzz", "unknown tool 'zzz'; known: plain"),
        ("nowhere:f", "no module 'nowhere'.*nowhere.py"),
        ("mine:wiegh", "has no 'wiegh'; did you mean 'weigh'"),
        ("mine:number", "is no tool"),
        ("broken:f", "broken fails to load: ZeroDivisionError"),
        ("needy:f", "needy fails to load: ModuleNotFoundError.*not_installed"),
        ("mine:", "has no ''"),
    ],
)
def test_tools_that_cannot_be_had_are_named(tmp_path: Path, spec: str, message: str) -> None:
    (tmp_path / "mine.py").write_text("number = 3\ndef weigh(x: int) -> int:\n    return x\n")
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needy.py").write_text("import not_installed")
    with pytest.raises(ToolNotFound, match=message):
        load_tools([spec], {"plain": builtin}, tmp_path)


def test_one_name_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFound, match="two tools are named 'plain'"):
        load_tools(["plain", "plain"], {"plain": builtin}, tmp_path)
