from collections import Counter

import pytest

from sport.types import Gold, Step, Verdict
from sport.verify import OracleVerifier, RandomVerifier, RubricVerifier
from sport.verify.preference import prefer
from sport.verify.relabel import relabel, shuffle, verifier_accuracy

READ = 'text = ocr(image_path="image_0.png")\nprint(text)'
ANSWER = 'import re\nfinal_answer(3 * float(re.search(r"tea\\D*([\\d.]+)", text)[1]))'


@pytest.fixture
def tea(world):
    return world("How much do 3 tea cost?", ocr=lambda image_path: "tea 2.50\nrice 1.10")


def explored(tea, *picks):
    """Two steps of three candidates each; ``picks`` are the verdicts."""
    tea.steps, tea.codes = [], []
    for best, codes in zip(
        picks, [("final_answer(9)", READ, "1 / 0"), (ANSWER, READ, "final_answer(7.4)")],
        strict=True,
    ):  # fmt: skip
        candidates = tuple(tea.candidate(c) for c in codes)
        chosen = 1 if not tea.steps else 0
        verdict = Verdict(best=best, reason="", verifier="x")
        tea.steps.append(
            Step(index=len(tea.steps), candidates=candidates, verdict=verdict, chosen=chosen)
        )
        tea.codes.append(codes[chosen])
    return tea.trajectory()


async def test_relabelling_changes_verdicts_and_nothing_else(tea):
    before = explored(tea, 1, 0)
    runs = [(await relabel([before], RandomVerifier(), seed))[0] for seed in range(20)]
    assert {r.steps[0].verdict.best for r in runs} == {0, 1, 2}
    assert (await relabel([before], RandomVerifier(), 3))[0] == runs[3]
    for run in runs:
        assert run.verifier == "random" and run.task == before.task
        for old, new in zip(before.steps, run.steps, strict=True):
            assert (old.candidates, old.chosen) == (new.candidates, new.chosen)


def test_shuffled_verdicts_are_those_that_were_given_but_of_other_steps(tea):
    """As many verdicts for each place, none bound to what stands there."""
    picks = [(1, 0), (0, 1), (2, 2), (None, 1), (1, None), (1, 1)]
    before = [explored(tea, *pick) for pick in picks]
    given = Counter(s.verdict.best for t in before for s in t.steps)
    first = Counter()
    for seed in range(400):
        after = shuffle(before, seed)
        dealt = [s.verdict for t in after for s in t.steps]
        assert Counter(v.best for v in dealt) == given
        assert {v.scores for v in dealt} == {None}, "scores would tell who had been best"
        for old, new in zip(before, after, strict=True):
            kept = [(s.candidates, s.chosen) for s in old.steps]
            assert [(s.candidates, s.chosen) for s in new.steps] == kept
        first[after[0].steps[0].verdict.best] += 1
    assert shuffle(before, 3) == shuffle(before, 3)
    for best, count in given.items():
        assert abs(first[best] / 400 - count / 12) < 0.1, "every step may get any verdict"


def test_a_shuffled_verdict_names_a_candidate_that_exists(tea):
    long, short = explored(tea, 2, 2), explored(tea, 0, 0)
    step = short.steps[0].model_copy(update={"candidates": short.steps[0].candidates[:1]})
    short = short.model_copy(update={"steps": (step,)})
    for seed in range(20):
        again = shuffle([long, short], seed)
        assert all(s.verdict.best in range(len(s.candidates)) for t in again for s in t.steps)


async def test_relabelling_shows_each_step_its_own_history(tea):
    (again,) = await relabel([explored(tea, None, None)], RubricVerifier(), 0)
    assert [s.verdict.best for s in again.steps] == [1, 0]


async def test_accuracy_counts_right_wrong_and_abstained_choices(tea):
    golds = {tea.task.id: Gold(answer=7.5, tools=("ocr",))}
    report = verifier_accuracy(
        [explored(tea, 1, 0), explored(tea, 1, 2), explored(tea, None, 0)], golds
    )
    got = report.overall
    assert (got.steps, got.choices, got.right, got.wrong, got.abstained) == (6, 6, 4, 1, 1)
    assert got.accuracy == 0.8 and got.chance == pytest.approx(2.0)
    assert report.by_kind[""] == got and report.skipped == 0


async def test_accuracy_tells_which_errors_were_named_best(tea):
    golds = {tea.task.id: Gold(answer=7.5, tools=("ocr",))}
    steps = [explored(tea, 1, 0), explored(tea, 0, 2), explored(tea, 2, None)]
    errors = verifier_accuracy(steps, golds).by_error
    # The first steps offer a wrong answer and a failure beside the right call; the second ones a
    # repeated call and a wrong answer, and one of those has no verdict.
    assert {name: (e.met, e.named) for name, e in errors.items()} == {
        "wrong answer": (5, 2),
        "failed": (3, 1),
        "no step forward": (2, 0),
    }


async def test_accuracy_needs_gold_and_says_what_it_skipped(tea):
    report = verifier_accuracy([explored(tea, 1, 0)], {})
    assert report.skipped == 1 and report.overall.accuracy is None


async def test_steps_without_a_right_candidate_are_counted_apart(tea):
    golds = {tea.task.id: Gold(answer=100, tools=("weigh",))}
    got = verifier_accuracy([explored(tea, 1, None)], golds).overall
    assert (got.choices, got.hopeless, got.hopeless_named) == (0, 2, 1)


async def test_the_oracle_agrees_with_itself(tea):
    golds = {tea.task.id: Gold(answer=7.5, tools=("ocr",))}
    (again,) = await relabel([explored(tea, 2, 2)], OracleVerifier(golds), 0)
    assert verifier_accuracy([again], golds).overall.accuracy == 1.0


class Alike:
    """A verifier that always likes the first place."""

    name = "first"

    async def judge(self, task, steps, candidates, seed):
        return Verdict(best=0, reason="")


def finished(world, *codes, query="How much do 3 tea cost?", end="finished"):
    run = world(query, ocr=lambda image_path: "tea 2.50\nrice 1.10")
    for code in codes:
        run.go(code)
    return run.trajectory(end)


async def test_a_preference_has_to_survive_the_swap(world):
    good, bad = finished(world, READ, ANSWER), finished(world, "final_answer(9)")
    won = await prefer([bad], [good], RubricVerifier(), 0)
    assert (won.wins, won.losses, won.share, won.verifier) == (1, 0, 1.0, "rubric")
    assert won.lo < 1 and won.hi == 1
    assert (await prefer([good], [bad], RubricVerifier(), 0)).losses == 1
    assert (await prefer([good], [bad], Alike(), 0)).ties == 1
    assert (await prefer([good], [good], RubricVerifier(), 0)).ties == 1


async def test_a_value_copied_in_a_later_step_is_not_taken_for_invented(world):
    copied = finished(world, READ, "final_answer(3 * 2.5)")
    lost = finished(world, READ, end="max_steps")
    assert (await prefer([lost], [copied], RubricVerifier(), 0)).wins == 1


async def test_no_verdict_is_no_preference(world):
    lost = [finished(world, code, end="failed") for code in ("1 / 0", "2 / 0")]
    got = await prefer(lost[:1], lost[1:], RubricVerifier(), 0)
    assert (got.undecided, got.share, got.lo, got.hi) == (1, None, 0.0, 1.0)


async def test_only_the_same_tasks_can_be_compared(world):
    with pytest.raises(ValueError, match="the same tasks"):
        await prefer(
            [finished(world, READ)], [finished(world, READ, query="?")], RubricVerifier(), 0
        )
