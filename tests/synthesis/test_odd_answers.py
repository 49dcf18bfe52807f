"""What a writing model may answer: whatever stands in it, nothing breaks, and all is counted."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.jsonl import StoreError
from sport.store import Run
from sport.synthesis.folder import read_drafts, read_figures
from sport.synthesis.journal import Journal
from synthesis.scripted import Body, needs, stage_of, tasks, verdict

Recipe = Callable[..., Path]
PLAIN = "How many flags stand beside the astronaut in the picture?"
ARABIC = "كم عدد الأعلام بجانب رائد الفضاء؟"
LOOKS = ["objectlocation"]
ODD = [
    (PLAIN, LOOKS),
    (ARABIC, LOOKS),
    ("Which tool is no text at all?", ["\ud800"]),
    ("Which tool is a path of a system?", ["../../etc/passwd\x1b[31m"]),
    ("Which tools are far too many?", ["x" * 10_000, *map(str, range(2000))]),
    ("What \x1b]0;title\x07 does a terminal do?", LOOKS),
    ("Half of a \udc00 character?", LOOKS),
    ("word " * 1000, LOOKS),
    ("", LOOKS),
    ("One more than the nine that", LOOKS),
]


def played(body: Body) -> list[str]:
    if stage_of(body) == "queries":
        found = json.loads(tasks(ODD))
        found["tasks"].insert(4, 42)
        return [json.dumps(found)]
    if stage_of(body) == "needs":
        return [needs(("photo", "a smiling astronaut in an orange space suit"))]
    return [verdict()]


def test_odd_entries_of_an_answer_are_counted(place: Path, recipe: Recipe) -> None:
    more = "batch = 10\nwaves = 1\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=played) as server:
        done = CliRunner().invoke(
            app, ["synth", str(recipe(server.url, 3, more)), "--out", str(place / "run")]
        )
    assert done.exit_code == 0, done.output
    run = Run.open(place / "run")
    assert [task.query for task in run.tasks(round=1)] == [PLAIN, ARABIC]
    drafts = read_drafts(run, "round-1")
    fates = {"kept": 2, "unknown tool": 3, "no query": 5, "more than were asked for": 1}
    assert dict(Counter(draft.fate for draft in drafts)) == fates
    found = read_figures(run, "round-1")
    assert found is not None and dict(found.fates) == fates
    told = (run.path / "synthesis" / "round-1-drafts.jsonl").read_text()
    assert "\\u001b" not in told.replace("\\\\u001b", "") and len(told) < 200_000


CHARTS = ("What stands in the first chart?", "Which bar of the other chart is high?")


def test_equal_files_of_two_drafts_are_made_apart_and_kept(place: Path, recipe: Recipe) -> None:
    """A picture each, in a colour that no other answer has; a second start asks nothing again."""
    made: list[int] = []

    def says(body: Body) -> list[str]:
        stage = stage_of(body)
        if stage == "queries":
            return [tasks([(query, ["ocr"]) for query in CHARTS])]
        if stage == "needs":
            return [needs(("chart", "sales by month"))]
        if stage == "make":
            made.append(40 * len(made))
            code = f"Image.new('RGB', (64, 48), (0, 0, {made[-1]})).save('chart_0.png')"
            return [f"```python\nfrom PIL import Image\n{code}\n```"]
        return [verdict()]

    more = "waves = 1\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=says, latency_s=0.05) as server:
        command = ["synth", str(recipe(server.url, 2, more)), "--out", str(place / "run")]
        assert CliRunner().invoke(app, command).exit_code == 0
        first = [task.files[0].sha256 for task in Run.open(place / "run").tasks(round=1)]
        assert len(set(first)) == 2, "each got its own"
        forget_tasks(place / "run", files_too=True)
        asked = len(server.requests)
        assert CliRunner().invoke(app, command).exit_code == 0
        again = [task.files[0].sha256 for task in Run.open(place / "run").tasks(round=1)]
    assert again == first and len(server.requests) == asked


def test_a_file_is_another_one_where_the_need_is(place: Path, recipe: Recipe) -> None:
    """Seeds may be edited before a stopped run goes on: its drafts are others then."""
    wanted = ["a smiling astronaut in an orange space suit"]

    def says(body: Body) -> list[str]:
        if stage_of(body) == "queries":
            return [tasks([(f"Where is {wanted[0].split()[2]} in the picture?", LOOKS)])]
        if stage_of(body) == "needs":
            return [needs(("photo", wanted[0]))]
        return [verdict()]

    more = "waves = 1\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=says) as server:
        command = ["synth", str(recipe(server.url, 1, more)), "--out", str(place / "run")]
        assert CliRunner().invoke(app, command).exit_code == 0
        forget_tasks(place / "run")
        wanted[0] = "a cup of espresso on a saucer"
        (place / "seeds.jsonl").write_text('{"query": "Which cup is the larger one?"}\n')
        assert CliRunner().invoke(app, command).exit_code == 0
    [task] = Run.open(place / "run").tasks(round=1)
    assert "coffee" in task.files[0].source, "the picture that was found for another query"


def test_a_refusal_is_paid_once(place: Path, recipe: Recipe) -> None:
    def says(body: Body) -> list[str | None]:
        if stage_of(body) == "queries":
            return [tasks([(PLAIN, LOOKS), (ARABIC, LOOKS)])]
        if stage_of(body) == "needs":
            return [needs(("photo", "a smiling astronaut")) if PLAIN in str(body) else None]
        return [verdict()]

    more = "waves = 1\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=says) as server:
        command = ["synth", str(recipe(server.url, 2, more)), "--out", str(place / "run")]
        assert CliRunner().invoke(app, command).exit_code == 0
        forget_tasks(place / "run")
        asked = len(server.requests)
        assert CliRunner().invoke(app, command).exit_code == 0
    assert len(server.requests) == asked
    assert read_drafts(Run.open(place / "run"), "round-1")[1].fate == "refused on its files"


def test_an_endless_answer_is_unusable(place: Path, recipe: Recipe) -> None:
    def says(body: Body) -> list[str]:
        return ["{" * 5_000_000] if stage_of(body) == "queries" else [verdict()]

    more = "waves = 1\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=says) as server:
        began = time.monotonic()
        done = CliRunner().invoke(
            app, ["synth", str(recipe(server.url, 2, more)), "--out", str(place / "run")]
        )
    assert done.exit_code == 1 and "unusable answer on 10 queries" in " ".join(done.output.split())
    assert time.monotonic() - began < 30
    assert max(len(json.dumps(r["messages"])) for r in server.requests) < 100_000


def forget_tasks(folder: Path, files_too: bool = False) -> None:
    """As if the run had been killed before its tasks, and the files made, were written."""
    shutil.rmtree(folder / "rounds")
    (folder / "tasks.jsonl").unlink()
    if files_too:
        journal = folder / "synthesis" / "round-1.jsonl"
        lines = [line for line in journal.read_text().splitlines() if '"code"' not in line]
        journal.write_text("".join(f"{line}\n" for line in lines))


def test_a_broken_journal_is_told(tmp_path: Path) -> None:
    file = tmp_path / "round-1.jsonl"
    file.write_text('{"key": "a", "value": 1}\nnoise\n{"key": "b", "value": 2}\n')
    with pytest.raises(StoreError, match=r"round-1\.jsonl, line 2: .* Delete the line"):
        Journal(file)


def filtered(body: Body) -> list[str]:
    if stage_of(body) == "queries":
        return [tasks([(f"Where is flag number {word}?", LOOKS) for word in "one two six".split()])]
    return (
        [needs(("photo", "an astronaut beside a flag"))]
        if stage_of(body) == "needs"
        else [verdict()]
    )


def test_one_request_that_a_server_does_not_take_costs_one_draft(
    place: Path, recipe: Recipe
) -> None:
    """As where a content filter answers 400; one that takes none stops the run at once."""

    def takes(body: Body) -> bool:
        return "number two" not in json.dumps(body) or stage_of(body) == "queries"

    with FaultServer(says=filtered, takes=takes) as server:
        more = "make_files = false\nmax_uses = 9\nmax_overlap = 1.0\nwaves = 1\n"
        file = recipe(server.url, 2, f"{more}[evaluation]\nheld_out = 0.0001")
        for _ in range(2):
            done = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")])
            assert done.exit_code == 0, done.output
    drafts = read_drafts(Run.open(place / "run"), "round-1")
    assert [d.fate for d in drafts] == ["kept", "refused on its files", "kept"]
    with FaultServer(says=filtered, takes=lambda body: False) as server:
        file = recipe(server.url, 2, f"{more}[evaluation]\nheld_out = 0.0001")
        stopped = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "other")])
    assert stopped.exit_code == 1 and "answered 400: the content is filtered" in stopped.output


def test_a_folder_without_pictures_is_named(place: Path, recipe: Recipe) -> None:
    (place / "empty").mkdir()
    with FaultServer(says=filtered) as server:
        file = recipe(server.url, 2)
        text = file.read_text().replace('library = "library"', 'pictures = ["empty"]')
        file.write_text(text)
        stopped = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")])
        assert not server.requests
    told = " ".join(stopped.output.split())
    assert stopped.exit_code == 1 and "synthesis.pictures: no picture in" in told
