"""A person's session: blind steps, choices that last, and a summary, without any screen."""

from pathlib import Path
from typing import Any

import pytest

from sport.recipes import parse_recipe
from sport.store import Run
from sport.types import Step, Trajectory, Verdict
from sport.verify.session import VERIFIER, AgreeSession, SessionError

CODES = ("print('a')", "print('b')", "print('c')")


@pytest.fixture
def run(tmp_path: Path, world: Any) -> Run:
    """Six steps whose verdict is always the second candidate."""
    with Run.create(tmp_path / "run", parse_recipe({"synthesis": {}}, "test")) as run:
        for i in range(6):
            here = world(f"task {i}", files=())
            candidates = tuple(map(here.candidate, CODES))
            step = Step(
                index=0, candidates=candidates, verdict=Verdict(best=1, reason="so"), chosen=1
            )
            done = Trajectory(task=here.task, opening=(), steps=(step,), end="finished", round=1)
            run.append(run.path / "trajectories.jsonl", [done])
    return run


def test_a_session_is_gone_on_with_and_summed_up(run: Run) -> None:
    session = AgreeSession(run, "ann", steps=5)
    assert len(session.ballots) == 5
    first = session.next()
    assert first is not None and {c.action.code for c in first.shown} == set(CODES)
    session.record(first.key, 1)
    second = session.next()
    assert second is not None and second.key != first.key
    session.skip(second.key)
    third = session.next()
    assert third is not None
    session.record(third.key, 0)

    again = AgreeSession(run, "ann", steps=5)
    assert again.choices == {first.key: 1, third.key: 0} and len(again.owed) == 3
    [pair] = again.summary()
    assert (pair.first, pair.second, pair.both, pair.same) == ("ann", VERIFIER, 2, 1)
    other = {b.key: 1 for b in again.ballots}
    found = {(p.first, p.second): p.same for p in again.summary({"other": other})}
    assert found == {("ann", VERIFIER): 1, ("ann", "other"): 1, (VERIFIER, "other"): 5}


def test_a_choice_can_be_changed(run: Run) -> None:
    session = AgreeSession(run, "ann")
    key = session.ballots[0].key
    session.record(key, 1)
    session.record(key, None)
    assert AgreeSession(run, "ann").choices == {key: None}


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a" * 65])
def test_a_name_leads_nowhere_else(run: Run, name: str) -> None:
    with pytest.raises(SessionError, match="is no name"):
        AgreeSession(run, name)


def test_what_is_not_there_cannot_be_chosen(run: Run) -> None:
    session = AgreeSession(run, "ann")
    with pytest.raises(SessionError, match="none of those drawn"):
        session.record("9/none/0", 0)
    with pytest.raises(SessionError, match="no candidate 7"):
        session.record(session.ballots[0].key, 7)
    with pytest.raises(SessionError, match="nobody judges"):
        AgreeSession(run, None).record(session.ballots[0].key, 0)
