"""`sport synth` against a played model: what it keeps, what it drops, and what it says of it."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fault_server import FaultServer
from sport.cli import app
from sport.library import Library
from sport.store import Run
from sport.synthesis.folder import read_drafts, read_figures
from synthesis.scripted import (
    Body,
    attempt,
    needs,
    pictures,
    query_of,
    stage_of,
    tasks,
    text_of,
    verdict,
)

Recipe = Callable[..., Path]
OF_GAIA = "How many of the nine made-up birds sit on the lower of the two wires?"
LOOKS = ["objectlocation"]
ASTRONAUT = "How many flags stand beside the astronaut in the picture?"
COFFEE = "How many spoons lie on the saucer in this picture?"
PAGE = "Which word stands first on the printed page?"
CAT = "Does the tabby cat look into the camera?"
WHICH = "Which of both pictures has more stars, the first or the second?"

CHART = "What stands in the sales chart for May?"
BUDGET = "How much of the rent of the flat would that book cost?"

WRITTEN: dict[str, Any] = {
    # query: its tools, what it needs, what is thought of it at the first and the second look
    ASTRONAUT: (LOOKS, needs(("photo", "a smiling astronaut in an orange space suit")), verdict()),
    WHICH: (LOOKS, needs(("photo", "many distant galaxies on a black sky"),
                         ("photo", "a rocket on its launch pad at night")), verdict()),
    COFFEE: (LOOKS, needs(("photo", "a cup of espresso on a saucer")),
             verdict(tools=False, rewrite="Where exactly does the spoon lie beside the cup?"),
             verdict()),
    "How many flags stand beside the astronaut in this picture?": (LOOKS, "", ""),
    "What will the cat do tomorrow morning?": (["telepathy"], "", ""),
    "Who painted the ceiling of the chapel?": ([], "", ""),
    "How many days does a leap year have?": (["ocr"], needs(web="nothing"), ""),
    "How many elephants cross the wide river?":
        (LOOKS, needs(("photo", "a herd of elephants crossing the Zambezi")), ""),
    CHART: (["ocr"], needs(("chart", "sales by month")), verdict()),
    BUDGET: (["ocr"], needs(("spreadsheet", "costs of a flat, rent 740"),
                            ("photo", "a printed page of a book")), verdict()),
    "Which slide names the founder of the firm?": (["ocr"], needs(("slides", "a firm")), ""),
    PAGE: (["ocr"], needs(("photo", "a printed page of a book")), verdict(solvable=False)),
    CAT: (LOOKS, needs(("photo", "a tabby cat looks into the camera")), verdict(files=False),
          ""),
    "What is the price of a temple ticket?":
        (["ocr"], needs(("photo", "a temple with a curved roof under a blue sky")),
         verdict(tools=False, rewrite=ASTRONAUT), verdict()),
    "How old is the oldest of the greek coins?": (["ocr"], "I cannot help with that.", ""),
    "Which flower of the garden is the tallest one?": (LOOKS, None, ""),
    "How many leaves are behind the pink dahlia?":
        (LOOKS, needs(("photo", "a pink dahlia in bloom")), "It is { a good one"),
    "Is there a moon above the launch pad?":
        (LOOKS, needs(("sculpture", "a moon of bronze")), ""),
    OF_GAIA: (LOOKS, "", ""),
}  # fmt: skip
CODES = {
    "chart": "import matplotlib.pyplot as plt\nplt.bar(['May'], [4])\nplt.savefig('chart_0.png')",
    "spreadsheet": "import openpyxl\nbook = openpyxl.Workbook()\n"
    "book.active.append(['rent', 740])\nbook.save('spreadsheet_0.xlsx')",
    "slides": "raise OSError('no room')",
}
FATES = {
    "kept": 5,
    "near-duplicate": 2,
    "unknown tool": 1,
    "no tool": 1,
    "needs no file": 2,
    "no picture close enough": 1,
    "file not made: code failed": 1,
    "not solvable": 1,
    "unusable answer on its files": 2,
    "refused on its files": 1,
    "unusable answer on the check": 1,
    "shares words with a benchmark": 1,
}


def played(body: Body) -> list[str | None]:
    """Nothing at first, then all the queries; of those, what stands in the table."""
    stage = stage_of(body)
    if stage == "queries":
        if attempt(body) == 0:
            return ['{"tasks": [{"query": "How']
        return [tasks([(query, row[0]) for query, row in WRITTEN.items()])]
    if stage == "make":
        [kind] = [kind for kind in CODES if f"Kind of file: {kind}" in text_of(body)]
        return [f"Here it is:\n```python\n{CODES[kind]}\n```"]
    rewritten = {"Where exactly does the spoon lie beside the cup?": COFFEE}
    query = query_of(body)
    row = WRITTEN.get(query) or WRITTEN[rewritten[query]]
    if stage == "needs":
        return [row[1]]
    return [row[2] if query in WRITTEN else row[3]]


def sport(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def gaia(place: Path) -> Path:
    folder = place / "gaia"
    folder.mkdir()
    line = {"task_id": "g1", "Question": OF_GAIA, "Level": 1, "Final answer": "3"}
    (folder / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_every_draft_meets_the_fate_that_is_played(place: Path, recipe: Recipe, gaia: Path) -> None:
    more = "batch = 20\nwaves = 1\n[evaluation]\nheld_out = 0.0001\n"
    more += f'keep_apart = ["{gaia}"]\n[synthesis.checker]\nurl = "URL"\nmodel = "looker"\n'
    with FaultServer(says=played) as server:
        file = recipe(server.url, 5, more.replace("URL", server.url))
        done = sport("synth", file, "--out", place / "run")
        assert done.exit_code == 0, done.output
    run = Run.open(place / "run")
    drafts = read_drafts(run, "round-1")
    assert dict(Counter(d.fate for d in drafts)) == FATES
    found = read_figures(run, "round-1")
    assert found is not None and dict(found.fates) == FATES
    assert (found.wanted, found.drafts, found.rewritten) == (5, len(WRITTEN), 1)
    told = " ".join(done.output.split())
    assert "round-1: 5 of 5 tasks out of 19 drafts, 1 of them rewritten; dropped: " in told
    kept = {task.query: task for task in run.tasks(round=1)}
    spoon = "Where exactly does the spoon lie beside the cup?"
    assert [*kept] == [ASTRONAUT, WHICH, spoon, CHART, BUDGET]
    two = kept[WHICH].files
    assert [f.name for f in two] == ["image_0.png", "image_1.png"]
    assert ["hubble" in two[0].source, "rocket" in two[1].source] == [True, True]
    assert two[0].caption == "many distant galaxies on a black sky, seen by a telescope"
    assert all(f.path.is_file() and f.blobs == run.blobs.folder for f in two)
    assert [f.name for f in kept[BUDGET].files] == ["spreadsheet_0.xlsx", "image_0.png"]
    assert kept[CHART].files[0].source == "made: chart"
    assert found.kinds == {"photo": 3, "chart": 1, "photo+spreadsheet": 1}
    assert found.got == {"found": 5, "made": 2} and found.uses == {1: 5}
    looks = [r for r in server.requests if r["model"] == "looker"]
    assert {stage_of(r) for r in looks} == {"check"}
    assert sorted({query_of(r): pictures(r) for r in looks}.values()) == [1] * 9 + [2]
    [budget] = [text_of(r) for r in looks if query_of(r) == BUDGET]
    assert "<spreadsheet_0.xlsx>" in budget and "740" in budget


def test_the_prompts_hold_the_users_tools_and_seeds(place: Path, recipe: Recipe) -> None:
    with FaultServer(says=played) as server:
        file = recipe(server.url, 3, "batch = 20\nmake_files = false\nwaves = 1\nexamples = 2")
        assert sport("synth", file, "--out", place / "run").exit_code == 0
    first = next(text_of(r) for r in server.requests if stage_of(r) == "queries")
    assert "ocr(image_path: str" in first and "objectlocation(" in first
    assert sum(line.startswith("- ") and line.endswith(")") for line in first.splitlines()) == 2


NEAR = {
    "Is that pet awake or asleep?": "a small striped pet that stares at you",
    "How many people steer the submarine?": "a yellow submarine under water",
}


def test_with_an_embedding_model_pictures_are_found_by_meaning(
    place: Path, recipe: Recipe, model: Path
) -> None:
    def says(body: Body) -> list[str]:
        if stage_of(body) == "queries":
            return [tasks([(query, LOOKS) for query in NEAR])]
        if stage_of(body) == "needs":
            return [needs(("photo", NEAR[query_of(body)]))]
        return [verdict()]

    Library.open(place / "library", model).add([place / "photos"])
    with FaultServer(says=says) as server:
        more = f'make_files = false\nwaves = 1\nembedder = "{model}"\n'
        file = recipe(server.url, 2, f"{more}[evaluation]\nheld_out = 0.0001")
        done = sport("synth", file, "--out", place / "run")
        assert done.exit_code == 0, done.output
    run = Run.open(place / "run")
    [pet, submarine] = read_drafts(run, "round-1")
    assert "chelsea" in pet.files[0].source and (pet.got[0].similarity or 0) > 0.35
    assert submarine.fate == "no picture close enough"
    found = read_figures(run, "round-1")
    assert found is not None and found.similarity == pet.got[0].similarity
    assert found.from_seeds is not None and 0 < found.from_seeds < 1
    assert found.seeds is not None and 0 < (found.seeds.distance or 0) < 1
