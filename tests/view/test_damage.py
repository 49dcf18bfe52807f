"""Damaged runs and untrusted values: one of them hides no other, and none breaks a page."""

import time

import pytest

from sport.progress import STATE, Progress
from sport.tally import Tally
from sport.types import Action, Candidate, CodeError, Observation, Outcome, Step, Verdict
from sport.untrusted import shown
from sport.view.status import status_of
from sport.view.steps import boxes_in, code_html
from view.conftest import make_run


def test_a_run_that_cannot_be_read_hides_no_other(tmp_path, serving):
    make_run(tmp_path / "good")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "config.toml").write_text("[nonsense]\n")
    viewer = serving(tmp_path)
    status, page = viewer.ask("/")
    assert status == 200 and "/r/good" in page
    assert "bad cannot be read" in page and "nonsense" in page


@pytest.mark.parametrize("text", ["", "[]", '{"state": "running"}'])
def test_a_torn_state_is_none(tmp_path, serving, text):
    run = make_run(tmp_path / "good")
    (run.path / STATE).write_text(text)
    assert status_of(run).word
    assert serving(run.path).ask("/")[0] == 200


def test_an_index_may_be_deleted_while_it_is_read(tmp_path, serving):
    viewer = serving(make_run(tmp_path / "good").path)
    for file in (tmp_path / "good" / "cache").glob("viewer.sqlite*"):
        file.unlink()
    viewer.book.update()
    assert "10 found" in viewer.ask("/r/good/trajectories")[1]


def test_a_name_that_is_none_is_refused_and_an_account_without_one_may_judge(
    tmp_path, serving, monkeypatch
):
    viewer = serving(make_run(tmp_path / "good").path)
    assert viewer.ask("/r/good/label?name=../x")[0] == 422
    monkeypatch.setenv("LOGNAME", "CORP\\ann")
    status, page = viewer.ask("/r/good/label")
    assert status == 200 and 'name="name" value="CORP_ann"' in page


def test_code_that_would_keep_the_highlighter_busy_is_shown_plain():
    action = Action(text="", thought="", code=" \n" * 10_000)
    began = time.process_time()
    code_html(Candidate(action=action, outcome=None, observation=Observation(text="")))
    assert time.process_time() - began < 5, "the pattern takes half a minute"


def test_boxes_beyond_all_pictures_are_none():
    assert list(boxes_in([0, 0, 10**400, 10**400])) == []
    assert list(boxes_in([0, 0, float("inf"), 2])) == []
    assert list(boxes_in([[1, 2, 3, 4]])) == [(1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize("hidden", ["\u061c", "\u2060", "\U000e0041", "\xad", "\u202e", "\x1b"])
def test_what_cannot_be_seen_is_written_out(hidden):
    assert hidden not in shown(f"a{hidden}b") and "\\" in shown(f"a{hidden}b")


def test_names_of_errors_reach_the_terminal_as_text():
    error = CodeError(type="\x1b]0;owned\x07\nround 9: done", message="")
    outcome = Outcome(status="error", error=error)
    candidate = Candidate(
        action=Action(text="x", thought="", code="x"),
        outcome=outcome,
        observation=Observation(text=""),
    )
    tally = Tally()
    verdict = Verdict(best=None, reason="", verifier="x")
    tally.step(Step(index=0, candidates=(candidate,), verdict=verdict, chosen=0))
    [said] = [words for words in tally.words(1) if words.startswith("errors")]
    assert "\x1b" not in said and "\n" not in said and "owned" in said


def test_a_run_between_two_stages_is_not_taken_for_dead(tmp_path, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("sport.progress.STALE_S", 0.4)
    monkeypatch.setattr("sport.view.status.STALE_S", 0.4)
    run = make_run(tmp_path / "good")
    with Progress(Console(quiet=True)).recorded(run.path, "sport run demo"):
        time.sleep(1)  # a model is being loaded
        assert status_of(run).word == "running"
