"""Nothing of a benchmark is learnt from: the check, and the commands that it stops."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sport.cli import app
from sport.evals.contamination import (
    ContaminationError,
    check,
    check_tasks,
    fingerprints,
    hashes,
    shipped,
)
from sport.pocket.benchmark import PocketBenchmark
from sport.recipes import parse_recipe
from sport.synthesis.grammar import GrammarSynthesizer
from sport.types import Task

QUESTION = "How many of the nine made-up birds sit on the lower of the two wires?"
KNOWN = fingerprints("made-up", {"7": QUESTION, "8": "Explain this drawing"})


def task(query: str, id: str = "mine") -> Task:
    return Task(id=id, query=query)


@pytest.mark.parametrize(
    "query",
    [
        QUESTION,
        QUESTION.upper().replace("?", " !"),
        f"Please tell me: how many of the nine made up birds {QUESTION}",
        "So many made-up birds sit on the lower of the wires",
        "explain, this drawing!",
    ],
)
def test_a_task_that_shares_eight_words_is_found(query: str) -> None:
    with pytest.raises(ContaminationError, match="task 'mine' is made-up [78]"):
        check([task("something else"), task(query)], KNOWN)


@pytest.mark.parametrize(
    "query",
    [
        "How many birds sit on the wires?",
        "made-up birds sit on the lower",
        "Explain this drawing now",
    ],
)
def test_a_task_that_shares_less_is_not(query: str) -> None:
    check([task(query)], KNOWN)


def test_gta_is_known_by_hashes_alone() -> None:
    assert len({item for item in shipped().values()}) > 200
    assert all(len(h) == 16 and int(h, 16) >= 0 for h in shipped())


def test_the_pocket_world_shares_nothing_with_gta(tmp_path: Path) -> None:
    made = GrammarSynthesizer("train", tmp_path).synthesize(80, 3)
    check([*made, *PocketBenchmark(tmp_path, dev=1, test=20).tasks("test")], shipped())


def gaia(folder: Path) -> Path:
    folder.mkdir()
    line = {"task_id": "g1", "Question": QUESTION, "Level": 1, "Final answer": "3"}
    (folder / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_a_recipes_own_benchmarks_are_kept_apart(tmp_path: Path) -> None:
    data = gaia(tmp_path / "gaia")
    recipe = parse_recipe(
        {"synthesis": {}, "evaluation": {"keep_apart": [str(data)]}, "root": str(tmp_path)}, "x"
    )
    with pytest.raises(ContaminationError, match="gaia g1"):
        check_tasks([task(QUESTION)], recipe)
    nothing = parse_recipe({"synthesis": {}, "evaluation": {"keep_apart": ["no"]}}, "x")
    with pytest.raises(ContaminationError, match="no benchmark that is known"):
        check_tasks([task(QUESTION)], nothing)


def test_neither_exploring_nor_tuning_nor_a_report_goes_on(tmp_path: Path) -> None:
    """A user's tasks that hold a benchmark's question stop a run before it costs anything, and
    what an earlier one explored is neither tuned on nor reported.
    """
    gaia(tmp_path / "gaia")
    tasks = [{"query": QUESTION, "id": "stolen"}, {"query": "What else is there?", "id": "other"}]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(t) + "\n" for t in tasks))
    (tmp_path / "script.py").write_text(
        "from sport.policy.scripted import ScriptedPolicy, action\n"
        "policy = ScriptedPolicy([action('final_answer(1)')])\n"
    )
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'tasks = "tasks.jsonl"\n[policy]\nkind = "script"\nmodel = "script:policy"\n'
        '[evaluation]\nkeep_apart = ["gaia"]\nheld_out = 0.5\n'
    )
    refused = CliRunner().invoke(app, ["explore", str(recipe), "--out", str(tmp_path / "none")])
    assert refused.exit_code == 1 and "task 'stolen' is gaia g1" in refused.output
    assert not (tmp_path / "none" / "trajectories.jsonl").exists()
    apart = 'keep_apart = ["gaia"]'
    recipe.write_text(recipe.read_text().replace(apart, "keep_apart = []"))
    out = str(tmp_path / "run")
    explored = CliRunner().invoke(app, ["explore", str(recipe), "--out", out])
    assert explored.exit_code == 0, explored.output
    held = "stolen" not in (tmp_path / "run/tasks.jsonl").read_text()
    for file in (recipe, tmp_path / "run" / "config.toml"):  # as if it had been made without
        file.write_text(file.read_text().replace("keep_apart = []", apart))
    for command in (["tune", str(recipe), "--out", out], ["report", out]):
        result = CliRunner().invoke(app, command)
        if held:
            continue
        assert result.exit_code == 1 and "task 'stolen' is gaia g1" in result.output
    assert not held, "choose a seed by which the stolen task is explored"


def test_hashes_are_of_runs_of_words() -> None:
    assert len(list(hashes("one two three"))) == 1
    assert len(list(hashes("a b c d e f g h i"))) == 2
    assert list(hashes("A, b c d e f g h")) == list(hashes("a b c d e f g h"))
