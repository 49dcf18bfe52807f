"""A user's own tasks: read whole, or refused with all that is wrong, line by line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sport.blobs import BlobStore
from sport.files import FileError, safe_name, take_files
from sport.tasks import TasksError, load_tasks, split_by_file
from sport.types import File, Task


class Folder:
    """A user's folder with tasks and files."""

    def __init__(self, path: Path) -> None:
        self.path = path / "mine"
        self.path.mkdir()
        self.tasks = self.path / "tasks.jsonl"
        self.blobs = BlobStore(path / "blobs")

    def picture(self, name: str, colour: tuple[int, int, int] = (1, 2, 3)) -> str:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(self.path / name)
        return name

    def load(self, *lines: dict[str, Any] | str) -> list[Task]:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.tasks.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return load_tasks(self.tasks, self.blobs, 100_000)

    def problems(self, *lines: dict[str, Any] | str) -> list[str]:
        with pytest.raises(TasksError) as error:
            self.load(*lines)
        return list(error.value.problems)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_whole_task_comes_in(folder: Folder) -> None:
    folder.picture("photos/b.jpg", (200, 0, 0))
    folder.picture("a.png")
    (folder.path / "prices list.csv").write_text("tea,3\n")
    (task,) = folder.load(
        {
            "query": " Which is redder? ",
            "files": ["photos/b.jpg", "prices list.csv", "a.png"],
            "answer": ["b", 1],
            "id": "redder",
            "tools": ["ocr", "final_answer"],
            "kind": "colour",
        }
    )
    assert (task.id, task.query, task.kind) == ("redder", "Which is redder?", "colour")
    assert task.gold is not None
    assert (task.gold.answer, task.gold.tools) == (["b", 1], ("ocr",))
    assert [f.name for f in task.files] == ["image_0.png", "prices_list.csv", "image_1.png"]
    assert [f.source for f in task.files] == ["photos/b.jpg", "prices list.csv", "a.png"]
    assert [f.media_type for f in task.files] == ["image/png", "text/csv", "image/png"]
    assert Image.open(task.images[0].path).getpixel((5, 5))[0] > 190  # type: ignore[index]
    assert folder.blobs.read(task.files[1]) == b"tea,3\n"


def test_d7_files_keep_their_order_and_their_doubles(folder: Folder) -> None:
    names = [folder.picture(f"{n}.png", (i, 0, 0)) for i, n in enumerate("zymab")]
    (task,) = folder.load({"query": "q", "files": [*names, names[0]]})
    reds = [Image.open(f.path).getpixel((0, 0))[0] for f in task.files]  # type: ignore[index]
    assert reds == [0, 1, 2, 3, 4, 0]
    assert [f.name for f in task.files] == [f"image_{k}.png" for k in range(6)]


def test_blank_lines_bom_and_windows_line_ends_are_harmless(folder: Folder) -> None:
    folder.tasks.write_bytes(
        b'\xef\xbb\xbf{"query": "one"}\r\n\r\n  \r\n{"query": "two \xe2\x80\xa8 lines"}\r\n'
    )
    tasks = load_tasks(folder.tasks, folder.blobs, 1000)
    assert [(t.id, t.query) for t in tasks] == [("task-1", "one"), ("task-4", "two \u2028 lines")]
    assert [t.gold for t in tasks] == [None, None]


def test_answers_are_any_json_value_and_null_is_none(folder: Folder) -> None:
    values = [0, False, 2.5, "x", ["a"], {"k": 1}]
    tasks = folder.load(*({"query": "q", "answer": v} for v in values))
    assert [t.gold.answer for t in tasks if t.gold] == values
    assert folder.load({"query": "q", "answer": None})[0].gold is None


def test_a_picture_that_many_tasks_share_is_read_once(folder: Folder) -> None:
    name = folder.picture("a.png")
    (folder.path / "link.png").symlink_to(folder.path / "a.png")
    tasks = folder.load(
        *({"query": f"q{i}", "files": [name]} for i in range(50)),
        {"query": "q", "files": ["link.png", name]},
    )
    assert {f.sha256 for t in tasks for f in t.files} == {tasks[0].files[0].sha256}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "one JSON value over many lines"),
        ('{"query": "q"', "not JSON"),
        ("7", "a task is a JSON object"),
        ('[{"query": "q"}]', "one task a line"),
        ('{"query": "q", "query": "r"}', "`query` stands twice"),
        ('{"query": "q", "answer": NaN}', "NaN"),
        ('{"query": "q", "answer": 1e999}', "cannot be stored"),
        ('{"query": "q", "answer": "\\ud800"}', "cannot be stored"),
        ('{"query": "q\\ud800"}', "surrogate"),
        ('{"query": "q", "id": "\\ud800"}', "printable"),
        ("[" * 100_000, "one task a line"),
        ('{"query": ' + "[" * 100_000, "not JSON"),
        ({"files": []}, "`query` is missing"),
        ({"query": "  "}, "`query` must be a text"),
        ({"query": 3}, "`query` must be a text"),
        ({"query": "q", "files": "a.png"}, '`files` must be a list of texts, such as ["a.jpg"]'),
        ({"query": "q", "files": [""]}, "`files` must be a list"),
        ({"query": "q", "tools": "ocr"}, "`tools` must be a list"),
        ({"query": "q", "captions": "a street"}, "`captions` must be a list"),
        ({"query": "q", "captions": ["a street"]}, "`captions` has 1 texts for 0 `files`"),
        ({"query": "q", "id": ""}, "`id` must be 1 to 200"),
        ({"query": "q", "id": True}, "`id` must be a text"),
        ({"query": "q", "id": "a\nb"}, "printable"),
        ({"query": "q", "kind": 3}, "`kind` must be a text"),
        ({"query": "q", "answer": ""}, "`answer` is empty"),
        ({"query": "q", "anwser": 1}, "unknown key `anwser`. Did you mean `answer`?"),
        ({"query": "q", "image": "a.png"}, "unknown key `image`. Did you mean `files`?"),
        ({"query": "q", "qqqqqq": 1}, "unknown key `qqqqqq`. Known: query"),
        ({"query": "q", "files": ["https://x.org/a.png"]}, "nothing is downloaded"),
        ({"query": "q", "files": ["data:image/png;base64," + "A" * 9999]}, "nothing is down"),
        ({"query": "q", "files": ["."]}, "not a file"),
        ({"query": "q", "files": ["a\0b.png"]}, "no path"),
        ({"query": "q", "files": ["x" * 5000]}, "no path"),
        ({"query": "q", "files": ["pictures/a.png"]}, "There is no folder"),
    ],
)
def test_each_fault_is_told_with_its_line_and_mend(folder: Folder, line: Any, problem: str) -> None:
    (told,) = folder.problems(line)
    assert problem in told
    assert str(folder.tasks) in told
    assert len(told) < 600


def test_all_faults_are_told_together(folder: Folder) -> None:
    folder.picture("board.png")
    (folder.path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    told = folder.problems(
        {"query": "fine", "files": ["board.png"], "id": "a"},
        {"query": "", "files": ["bord.png", "torn.jpg"]},
        "nonsense",
        "",
        {"query": "again", "id": "a"},
        {"qestion": "?", "id": "a"},
    )
    lines = [t.removeprefix(f"{folder.tasks}, line ").split(":")[0] for t in told]
    assert lines == ["2", "2", "2", "3", "5", "6", "6", "6"]
    assert "Did you mean 'board.png'?" in told[1]
    assert "'torn.jpg' is" in told[2]
    assert "id 'a' is line 1's already" in told[4] and "id 'a' is line 1's already" in told[7]


def test_a_made_up_id_cannot_clash_unseen(folder: Folder) -> None:
    (told,) = folder.problems({"query": "q", "id": "task-2"}, {"query": "q"})
    assert "line 2" in told and "task-2" in told


def test_very_many_faults_are_shown_in_part(folder: Folder) -> None:
    with pytest.raises(TasksError) as error:
        folder.load(*["no"] * 50)
    assert len(error.value.problems) == 50
    assert str(error.value).count("\n") == 20
    assert "30 more problems" in str(error.value)


def test_files_that_are_no_tasks_are_told(folder: Folder) -> None:
    def told(path: Path) -> str:
        with pytest.raises(TasksError) as error:
            load_tasks(path, folder.blobs, 1000)
        assert str(path) in str(error.value)
        return str(error.value)

    assert "does not exist" in told(folder.path / "nowhere.jsonl")
    assert "is a folder" in told(folder.path)
    folder.tasks.write_text("")
    assert "holds no task" in told(folder.tasks)
    folder.tasks.write_text("\n \n")
    assert "holds no task" in told(folder.tasks)
    folder.tasks.write_bytes(b'{"query": "a"}\n{"query": "caf\xe9"}\n')
    assert "line 2: this is not UTF-8" in told(folder.tasks)
    folder.tasks.write_text('{"query": "a"}', encoding="utf-16")
    assert "not UTF-8" in told(folder.tasks)


def test_other_files_must_lie_with_the_tasks_but_pictures_need_not(
    folder: Folder, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere.png")
    (tmp_path / "secret.txt").write_text("key")
    (folder.path / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "mine-too").mkdir()
    (tmp_path / "mine-too" / "a.txt").write_text("key")
    assert folder.load({"query": "q", "files": ["../elsewhere.png"]})
    assert folder.load({"query": "q", "files": [str(tmp_path / "elsewhere.png")]})
    for name in ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "../mine-too/a.txt"):
        (told,) = folder.problems({"query": "q", "files": [name]})
        assert "outside the folder" in told
    assert not any(b"key" in p.read_bytes() for p in folder.blobs.folder.rglob("*") if p.is_file())


def test_odd_names_become_safe_and_clashes_are_numbered(folder: Folder) -> None:
    names = ["a/data.csv", "b/Data.csv", "c/data.csv", "-rf *.txt", "größe.txt", ".env", "x'y.txt"]
    for name in names:
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text(name)
    (task,) = folder.load({"query": "q", "files": names})
    assert [f.name for f in task.files] == [
        "data.csv", "Data_1.csv", "data_2.csv", "rf_.txt", "größe.txt", "env", "x_y.txt",
    ]  # fmt: skip
    assert [folder.blobs.read(f).decode() for f in task.files] == names


def test_a_file_cannot_take_a_pictures_name(folder: Folder) -> None:
    picture = folder.picture("a.png")
    (folder.path / "image_0.txt").write_text("t")
    (folder.path / "image_0.svg").write_text("<svg/>")
    (task,) = folder.load({"query": "q", "files": ["image_0.txt", picture]})
    assert [f.name for f in task.files] == ["image_0.txt", "image_0.png"]
    (told,) = folder.problems({"query": "q", "files": ["image_0.svg"]})
    assert "Save it as PNG" in told


@given(st.text(max_size=300))
def test_safe_names_are_names(name: str) -> None:
    safe = safe_name(name)
    assert safe and "/" not in safe and "\0" not in safe and safe[0] not in ".-"
    assert len(safe) <= 100 and not any(c.isspace() for c in safe)


def test_files_named_directly_are_relative_to_the_working_directory(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder.picture("a.png")
    (tmp_path / "notes.txt").write_text("n")
    monkeypatch.chdir(folder.path)
    files = take_files(["a.png", "../notes.txt"], folder.blobs, 1000)
    assert [f.name for f in files] == ["image_0.png", "notes.txt"]
    with pytest.raises(FileError, match="'b.png' does not exist(.|\n)*'c.png' does not exist"):
        take_files(["b.png", "c.png"], folder.blobs, 1000)


def over(id: str, *pictures: str, query: str = "") -> Task:
    files = tuple(File(name=p, sha256=p, media_type="image/png") for p in pictures)
    return Task(id=id, query=query or id, files=files)


def test_no_picture_is_on_both_sides() -> None:
    tasks = [over(f"t{i}", f"p{i}", f"p{i - i % 3}") for i in range(60)]
    explore, held = split_by_file(tasks, 0.2, seed=3)
    assert {f.sha256 for t in explore for f in t.files}.isdisjoint(
        f.sha256 for t in held for f in t.files
    )
    assert sorted(t.id for t in explore + held) == sorted(t.id for t in tasks)
    assert 9 <= len(held) <= 12
    assert explore == [t for t in tasks if t in explore]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=3), min_size=1, max_size=15),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_any_tasks_are_split_cleanly_or_refused(
    pictures: list[list[str]], share: float, seed: int
) -> None:
    tasks = [over(f"t{i}", *p) for i, p in enumerate(pictures)]
    try:
        explore, held = split_by_file(tasks, share, seed)
    except TasksError as error:
        assert ("share files" if len(tasks) > 1 else "There is one task") in str(error)
        assert all(set(p) for p in pictures) or len(tasks) == 1
        return
    assert explore and held and len(explore) + len(held) == len(tasks)
    sides = [{f.sha256 for t in side for f in t.files} for side in (explore, held)]
    assert sides[0].isdisjoint(sides[1])
    assert split_by_file(tasks[::-1], share, seed) == (explore[::-1], held[::-1])


def test_chains_of_pictures_stay_together_and_one_lump_is_refused() -> None:
    chain = [over(f"t{i}", f"p{i}", f"p{i + 1}") for i in range(9)]
    with pytest.raises(TasksError, match="All 9 tasks share files"):
        split_by_file(chain)
    explore, held = split_by_file([*chain, over("alone", "q")])
    assert ([t.id for t in held], len(explore)) == (["alone"], 9)


def test_captions_go_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    row = {"query": "q", "files": ["a.txt"], "captions": [" a list "]}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row))
    [task] = load_tasks(tmp_path / "tasks.jsonl", BlobStore(tmp_path / "blobs"))
    assert [f.caption for f in task.files] == ["a list"]


def test_documents_tell_tasks_apart_as_pictures_do() -> None:
    """Else tasks that ask the same of each invoice would all be one lump."""
    page = {"name": "a.pdf", "media_type": "application/pdf"}
    tasks = [
        Task(id=f"t{i}", query="What is the total?", files=(File(sha256=f"p{i // 2}", **page),))
        for i in range(10)
    ]
    explore, held = split_by_file(tasks, 0.2)
    assert len(held) == 2
    assert {t.files[0].sha256 for t in explore}.isdisjoint(t.files[0].sha256 for t in held)


def test_tasks_without_pictures_that_ask_the_same_stay_together() -> None:
    tasks = [
        over(f"t{i}", query=f"What  is {i % 4}?" if i % 2 else f"what is {i % 4}?")
        for i in range(16)
    ]
    for seed in range(5):
        explore, held = split_by_file(tasks, 0.3, seed)
        assert not {t.query.lower().split()[-1] for t in explore} & {
            t.query.lower().split()[-1] for t in held
        }


def test_the_seed_decides_who_is_held_out() -> None:
    tasks = [over(f"t{i}", f"p{i}") for i in range(40)]
    held = [[t.id for t in split_by_file(tasks, 0.2, seed)[1]] for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]
    assert len(held[0]) == 8
