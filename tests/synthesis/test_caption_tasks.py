"""Tasks made of nothing but a user's own captioned pictures."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from library.sample_pictures import PICTURES, sample
from sport.cli import app
from sport.library import Library, LibraryError
from sport.store import Run
from sport.synthesis.captions import CaptionSynthesizer
from sport.synthesis.nouns import stems, things
from sport.types import Task

ALL = ("visualizer", "objectlocation", "ocr", "calculator")


def filled(folder: Path, captions: dict[str, str]) -> Library:
    pictures = folder / "photos"
    pictures.mkdir(parents=True)
    for name, caption in captions.items():
        with Image.open(sample(name)) as image:
            image.thumbnail((96, 96))
            image.save(pictures / name)
        (pictures / name).with_suffix(".txt").write_text(caption)
    library = Library.open(folder / "library")
    library.add([pictures])
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    return filled(tmp_path_factory.mktemp("pictures"), PICTURES)


def made(library: Library, blobs: Path, n: int = 60, seed: int = 1, tools=ALL, **options):
    return CaptionSynthesizer(library.pictures(), tools, blobs, **options).synthesize(n, seed)


def names(task: Task) -> list[str]:
    return [Path(file.source).name for file in task.files]


def asked(task: Task) -> str:
    """The thing that a task asks for: the one whose head is in its words."""
    heads = {thing.head for caption in PICTURES.values() for thing in things(caption)}
    [head] = heads & stems(task.query) - stems("picture image")
    return head


def test_tasks_of_all_kinds_with_their_pictures(library, tmp_path) -> None:
    tasks = made(library, tmp_path / "blobs", 80)
    kinds = {"which", "how many", "present", "where", "read", "differ"}
    assert {task.kind for task in tasks} <= kinds
    # No two of these captions have a thing in common but the sky, and one tells of text.
    assert {"which", "how many", "present", "where", "read"} <= {task.kind for task in tasks}
    for task in tasks:
        assert [file.name for file in task.files] == [
            f"image_{number}.png" for number in range(len(task.files))
        ]
        for file in task.files:
            assert file.blobs == tmp_path / "blobs" and file.caption in PICTURES.values()
            with Image.open(file.path) as image:
                image.load()
        assert (task.gold is None) == (task.kind in ("where", "read", "differ"))
        if task.kind == "read":
            assert names(task) == ["page.png"]


def test_the_answer_is_what_the_captions_say(library, tmp_path) -> None:
    for task in made(library, tmp_path, 150):
        if task.gold is None:
            continue
        showing = [asked(task) in stems(file.caption) for file in task.files]
        if task.kind == "which":
            assert 2 <= len(task.files) <= 4 and showing.count(True) == 1
            assert task.gold.answer == f"image_{showing.index(True)}.png"
        elif task.kind == "how many":
            assert task.gold.answer == sum(showing) >= 1 and not all(showing)
        else:
            assert task.gold.answer == ("yes" if showing == [True] else "no")


def test_answers_are_not_to_be_guessed(library, tmp_path) -> None:
    tasks = made(library, tmp_path, 200)
    answers = {kind: Counter() for kind in ("which", "present")}
    for task in tasks:
        if task.kind in answers:
            answers[task.kind][task.gold.answer] += 1
    assert len(answers["which"]) == 4
    yes, no = (answers["present"][word] for word in ("yes", "no"))
    assert min(yes, no) > 0.25 * (yes + no)


def test_the_same_seed_gives_the_same_tasks_and_more(library, tmp_path) -> None:
    ten, forty = made(library, tmp_path / "a", 10), made(library, tmp_path / "b", 40)
    dumped = [task.model_dump_json() for task in forty]
    assert [task.model_dump_json() for task in ten] == dumped[:10]
    other = made(library, tmp_path / "a", 40, seed=2)
    assert len({task.id for task in (*forty, *other)}) == 80
    assert [task.query for task in other] != [task.query for task in forty]
    assert made(library, tmp_path / "a", 0) == []
    with pytest.raises(ValueError, match="must not be negative"):
        made(library, tmp_path / "a", -1)


def test_no_task_comes_twice_and_pictures_take_turns(library, tmp_path) -> None:
    tasks = made(library, tmp_path, 100, reuse=1000)
    keys = [(t.query, tuple(sorted(names(t)))) for t in tasks]
    assert len(set(keys)) == 100
    few = made(library, tmp_path, 12, reuse=4)
    assert max(Counter(name for task in few for name in names(task)).values()) <= 4
    # Where there are not enough, they are used more often.
    assert len(made(library, tmp_path, 40, reuse=1)) == 40


def test_only_kinds_that_a_tool_helps_with(library, tmp_path) -> None:
    for tools, kinds in (
        (("ocr",), {"read"}),
        (("objectlocation",), {"which", "how many", "present", "where"}),
        (("visualizer", "calculator"), {"which", "how many", "present", "differ"}),
    ):
        n = 3 if tools == ("ocr",) else 60
        assert {task.kind for task in made(library, tmp_path, n, tools=tools)} == kinds
    with pytest.raises(LibraryError, match="Name one of: objectlocation, ocr, visualizer"):
        made(library, tmp_path, tools=("calculator",))


def test_pictures_that_have_something_in_common_are_compared(tmp_path) -> None:
    captions = dict(PICTURES, **{"coins.png": "old coins on a table", "rocket.jpg": "a wet table"})
    tasks = made(filled(tmp_path, captions), tmp_path / "b", 6, tools=("visualizer",), seed=3)
    tasks += made(Library.open(tmp_path / "library"), tmp_path / "b", 60, tools=("visualizer",))
    pairs = [names(task) for task in tasks if task.kind == "differ"]
    assert pairs and {frozenset(pair) for pair in pairs} <= {
        frozenset(pair)
        for pair in (
            ("coins.png", "rocket.jpg"),
            ("coffee.png", "coins.png"),
            ("coffee.png", "rocket.jpg"),
            ("hubble_deep_field.jpg", "china.jpg"),
        )
    }


def test_too_few_pictures_are_an_error(library, tmp_path) -> None:
    few = dict(list(PICTURES.items())[:3])
    with pytest.raises(LibraryError, match="are 3 pictures, too few"):
        made(filled(tmp_path / "few", few), tmp_path)
    with pytest.raises(LibraryError, match="sport images add DIR"):
        made(Library.open(tmp_path / "none"), tmp_path)
    with pytest.raises(LibraryError, match=r"4 different tasks, not 50, .* of these 9 pictures"):
        made(library, tmp_path, 50, tools=("ocr",))


@pytest.mark.parametrize(
    ("caption", "shown"),
    [
        ("a tabby cat looks into the camera from close by", ["a tabby cat"]),
        ("An old man standing in the rain", ["an old man", "the rain"]),
        ("two dogs run across a wooden bridge", ["dogs", "a wooden bridge"]),
        ("many distant galaxies on a black sky", ["distant galaxies", "a black sky"]),
        ("the dog sleeps, and the children play", ["the dog", "the children"]),
        ("a room without a window, with a printed map", ["a room", "a printed map"]),
        ("a red and white bus in front of a brick building", ["a brick building"]),
        ("a woman dressed in a long coat", ["a woman", "a long coat"]),
        ("a cat, another cat and the cat", ["a cat"]),
        ("a view of the city from a group of 3 hills", ["the city"]),
        ("solar panels; Straße; ??? 12", []),
        ("", []),
    ],
)
def test_things_that_captions_name(caption: str, shown: list[str]) -> None:
    assert [thing.shown for thing in things(caption)] == shown


def test_a_run_over_captioned_pictures_needs_no_model(tmp_path: Path) -> None:
    """By `sport synth`: fresh tasks every round, and other pictures held out."""
    filled(tmp_path, PICTURES)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'tools = ["objectlocation", "ocr"]\n[synthesis]\nkind = "captions"\n'
        'pictures = ["photos"]\ntasks_per_round = 6\n[evaluation]\nheld_out = 0.45\n'
        '[policy]\nkind = "script"\nmodel = "script:policy"\n'
    )
    (tmp_path / "script.py").write_text(
        "from sport.policy.scripted import ScriptedPolicy, action\n"
        "policy = ScriptedPolicy([action('final_answer(1)')])\n"
    )
    (tmp_path / "photos" / "coffee.txt").unlink()
    out = str(tmp_path / "run")
    arguments = [str(recipe), "--out", out, "-o", "rounds=0"]
    for command in (["run"], ["synth", "--round", "1"], ["synth", "--round", "2"]):
        done = CliRunner().invoke(app, [command[0], *arguments, *command[1:]])
        assert done.exit_code == 0, done.output
        assert "coffee.png: it has no caption" in " ".join(done.output.split())
    run = Run.open(out)
    held, first, second = run.tasks("held-out"), run.tasks(round=1), run.tasks(round=2)
    assert (len(held), len(first), len(second)) == (3, 6, 6)
    assert len({t.query for t in (*first, *second)}) > 6

    def pictures(tasks: list[Task]) -> set[str]:
        return {file.sha256 for task in tasks for file in task.files}

    assert pictures(held).isdisjoint(pictures([*first, *second]))


def test_too_few_pictures_for_both_sides_are_told(tmp_path: Path) -> None:
    filled(tmp_path, dict(list(PICTURES.items())[:5]))
    recipe = tmp_path / "mine.toml"
    recipe.write_text('tools = ["ocr"]\n[synthesis]\nkind = "captions"\nlibrary = "library"\n')
    done = CliRunner().invoke(app, ["synth", str(recipe), "--out", str(tmp_path / "run")])
    assert done.exit_code == 1 and "too few to make tasks of" in done.output
