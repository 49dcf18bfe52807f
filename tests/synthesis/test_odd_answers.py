"""What a writing model may answer: whatever stands in it, nothing breaks, and all is counted."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.store import Run
from sport.synthesis.atelier import read_drafts, read_figures
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
