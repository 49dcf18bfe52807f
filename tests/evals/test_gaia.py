"""GAIA's layout, levels and scorer, over questions that were written here."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sport.blobs import BlobStore
from sport.cli import app
from sport.evals.gaia import GAIABenchmark, GAIAError
from sport.store import Run

QUESTIONS = [
    # id, level, question, answer, file, what the script says, what it says when put into form
    ("a1", 1, "Written here: how many legs do two made-up horses have?", "8", "", "8 legs", "8"),
    ("a2", 1, "Written here: which made-up town is first?", "Arl, Bem", "", "Arl; bem", "Arl, Bem"),
    ("b1", 2, "Written here: what does the made-up note say?", "plum", "note.txt", "Plum.", "plum"),
    ("c1", 3, "Written here: what is the made-up sum?", "12", "", "13", "13"),
]
POLICY = """
import json
from sport.policy.scripted import ScriptedPolicy, action

QUESTIONS = json.loads({questions!r})


def say(request):
    text = request.messages[-1].text
    [row] = [row for row in QUESTIONS if row[2] in text]
    if "FINAL ANSWER" in text:
        return "FINAL ANSWER: " + row[6]
    return action("final_answer(" + repr(row[5]) + ")")


policy = ScriptedPolicy(say)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in GAIA's layout."""
    folder = tmp_path / "gaia" / "2023" / "validation"
    folder.mkdir(parents=True)
    keys = ("task_id", "Level", "Question", "Final answer", "file_name")
    lines = [json.dumps(dict(zip(keys, row, strict=False))) for row in QUESTIONS]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "note.txt").write_text("plum")
    (tmp_path / "script.py").write_text(POLICY.format(questions=json.dumps(QUESTIONS)))
    return tmp_path / "gaia"


def evaluate(data: Path, out: Path, *more: object) -> str:
    policy = f"{data.parent / 'script.py'}:policy"
    arguments = ["eval", "gaia", "--policy", policy, "--data", data, *more, "--out", out]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_levels_are_counted_and_answers_put_into_form_are_a_row_of_their_own(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    evaluate(data, out, "--reformat")
    plain, formed = Run.open(out).metrics()
    assert [(v["right"], v["n"]) for v in plain["levels"].values()] == [(1, 2), (1, 1), (0, 1)]
    assert [(v["right"], v["n"]) for v in formed["levels"].values()] == [(2, 2), (1, 1), (0, 1)]
    assert "reformatted" not in plain and formed["reformatted"] is True
    assert plain["tool_acc"] is None, "there are no gold chains"
    assert plain["wrong"] == {"format": 1, "wrong conclusion": 1}
    table = CliRunner().invoke(app, ["report", str(out)]).output
    measured = [line for line in table.splitlines() if line.startswith("| measured")]
    assert "50.00 (1/2)" in measured[0] and "50.00 (2/4)" in measured[0]
    assert "answers put into form" in measured[1] and "75.00 (3/4)" in measured[1]
    assert evaluate(data, out, "--reformat") and len(Run.open(out).metrics()) == 2


def test_files_come_with_their_questions(data: Path, tmp_path: Path) -> None:
    tasks = GAIABenchmark(data, BlobStore(tmp_path / "blobs"), 10_000).tasks("validation")
    assert [[f.name for f in t.files] for t in tasks] == [[], [], ["note.txt"], []]
    assert [t.kind for t in tasks] == ["level 1", "level 1", "level 2", "level 3"]


def test_what_is_wrong_with_the_folder_is_said(data: Path, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with pytest.raises(GAIAError, match="metadata.jsonl is not there"):
        GAIABenchmark(tmp_path, blobs, 10_000)
    file = data / "2023" / "validation" / "metadata.jsonl"
    (file.parent / "note.txt").unlink()
    with pytest.raises(GAIAError, match=r"line 3: .*note.txt"):
        GAIABenchmark(data, blobs, 10_000)
    file.write_text('{"task_id": "x", "Question": "?", "Level": 4, "Final answer": "1"}\noops\n')
    with pytest.raises(GAIAError, match=r"line 1: Level(.|\n)*line 2: this is not JSON"):
        GAIABenchmark(data, blobs, 10_000)
