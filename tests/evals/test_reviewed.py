"""Figures that must not say more than was measured."""

import json
from pathlib import Path

import pytest

from evals.test_compare import gta_run
from sport.agents.formats import read_json
from sport.blobs import BlobStore
from sport.config import RecipeError
from sport.evals.compare import differences, evaluations, lines
from sport.evals.contamination import ContaminationError, check, fingerprints
from sport.evals.gaia import GAIABenchmark, GAIAError
from sport.evals.similarity import available, similarity
from sport.evals.statistics import bootstrap_ratio
from sport.evals.write import _plain
from sport.recipes import parse_recipe
from sport.types import Action, Task


def test_the_interval_of_a_ratio_is_that_of_the_ratio() -> None:
    """40 items of 1/1 and 10 of 2/10: the mean of the items' shares is another figure."""
    low, high = bootstrap_ratio([1] * 40 + [2] * 10, [1] * 40 + [10] * 10)
    assert low < 60 / 140 < high and high < 0.7
    assert bootstrap_ratio([2, 2], [2, 2]) == (1.0, 1.0)


@pytest.mark.skipif(available(), reason="sentence-transformers scores it")
@pytest.mark.parametrize("answer", [None, "", "A cat."])
def test_sentences_are_unscored_whatever_was_answered(answer: str | None) -> None:
    assert similarity(answer, ["A cat sits."]) is None


def test_a_thought_may_hold_braces() -> None:
    call = '{"tool": "ocr", "arguments": {"image_path": "a.png"}}'
    action = read_json(Action(text=f"Thought: The boxes are {{a, b}}.\nAction: {call}"))
    assert action.code is not None and "ocr(" in action.code
    assert action.thought == "The boxes are {a, b}."


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "gta", "data": "x", "step_by_step": True, "best_of": 3}, "leave best_of out"),
        ({"name": "gaia", "data": "x", "pictures": False}, "pictures: only GTA"),
        ({"name": "gta", "data": "x", "reformat": True}, "only GAIA has a form"),
    ],
)
def test_what_does_not_go_together_is_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"rounds": 0, "benchmark": section, "root": "."}, "mine.toml")


def test_controllers_of_one_name_and_different_models_are_two_lines(tmp_path: Path) -> None:
    found = evaluations([gta_run(tmp_path / "a", 94, "m+r1"), gta_run(tmp_path / "b", 90, "m+r1")])
    [mine, its] = [e.whose for e in found]
    assert mine == its, "one model, one adapter: the same controller"
    other = [found[0], found[1].__class__(found[1].run, found[1].row, found[1].scores, ("other",))]
    assert len(lines(other, ["gta"])) == 2


def test_answers_by_different_scorers_are_not_compared(tmp_path: Path) -> None:
    found = evaluations([gta_run(tmp_path / "a", 94, "m"), gta_run(tmp_path / "b", 90, "m")])
    assert len(differences(found)) == 1
    found[1].row["scorer"] = "gta"
    assert differences(found) == []
    assert "scorer gta" in lines(found, ["gta"])[1].way


def test_a_short_question_is_found_inside_a_longer_task() -> None:
    known = fingerprints("made-up", {"7": "Can you explain this drawing?"})
    asked = Task(id="mine", query="Please look. Can you explain this drawing? Thanks!")
    with pytest.raises(ContaminationError, match="made-up 7"):
        check([asked], known)


def test_hidden_answers_and_doubled_questions_are_told(tmp_path: Path) -> None:
    row = {"task_id": "x", "Question": "Which?", "Level": 1, "Final answer": "?"}
    file = tmp_path / "metadata.jsonl"
    file.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    with pytest.raises(GAIAError, match=r"'x' stands there 2 times(.|\n)*this is the test split"):
        GAIABenchmark(tmp_path, BlobStore(tmp_path / "blobs"), 10_000)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(GAIAError, match="not UTF-8"):
        GAIABenchmark(tmp_path, BlobStore(tmp_path / "blobs"), 10_000)


def test_no_picture_of_elsewhere_is_loaded_by_a_table() -> None:
    assert "](" not in _plain("![](http://example.org/x.png)").replace("\\(", "")
