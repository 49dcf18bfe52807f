"""Agreement of those who judge."""

import pytest

from sport.types import Action, Candidate, Observation, Step, Task, Trajectory, Verdict
from sport.verify.agreement import cohen_kappa, compare, draw


def trajectory(name: str, codes: tuple[str, ...]) -> Trajectory:
    candidates = tuple(
        Candidate(action=Action(text=c, code=c), outcome=None, observation=Observation(text=""))
        for c in codes
    )
    step = Step(index=0, candidates=candidates, verdict=Verdict(best=0, reason="because"), chosen=0)
    return Trajectory(
        task=Task(id=name, query="q"), opening=(), steps=(step,), end="finished", round=1
    )


def test_kappa_of_a_table_worked_by_hand() -> None:
    # 20 both yes, 5 and 10 mixed, 15 both no: observed 0.7, chance 0.5 (Wikipedia's example).
    answers = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    value, interval = cohen_kappa(answers)
    assert value == pytest.approx(0.4)
    assert interval is not None and 0.1 < interval[0] < 0.4 < interval[1] < 0.7


def test_kappa_at_its_ends() -> None:
    assert cohen_kappa([(0, 0), (1, 1), (2, 2)])[0] == 1
    assert cohen_kappa([(0, 1), (1, 0)])[0] == -1
    assert cohen_kappa([(1, 1)] * 5) == (None, None)
    assert cohen_kappa([]) == (None, None)


def test_steps_without_a_choice_are_not_drawn() -> None:
    ballots = draw(
        [trajectory("same", ("x = 1", "x  =  1")), trajectory("two", ("x = 1", "x = 2"))], 9, 0
    )
    assert [b.task.id for b in ballots] == ["two"]


def test_the_draw_depends_on_the_seed_alone() -> None:
    many = [trajectory(f"t{i}", ("a = 1", "b = 2", "c = 3")) for i in range(30)]
    assert draw(many, 10, 1) == draw(many, 10, 1)
    assert draw(many, 10, 1) != draw(many, 10, 2)
    assert len({b.order for b in draw(many, 30, 1)}) == 6


def test_twins_are_one_candidate_and_abstentions_are_told_apart() -> None:
    ballots = draw([trajectory(f"t{i}", ("x = 1", "y = 2", "x=1")) for i in range(4)], 4, 0)
    keys = [b.key for b in ballots]
    first = dict(zip(keys, (0, 0, 1, None), strict=True))
    second = dict(zip(keys, (2, 1, 1, 1), strict=True))
    found = compare(ballots, ("a", first), ("b", second))
    assert (found.both, found.same, found.abstained) == (3, 2, 1)
    left_out = compare(ballots, ("a", first), ("b", {keys[0]: 0}))
    assert (left_out.both, left_out.same) == (1, 1)
