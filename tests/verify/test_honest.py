from collections import Counter

import pytest

from sport.types import Verdict
from sport.verify import HonestVerifier, VerdictError

CODES = ("x = 1", "x = 2", "x = 3", "x = 4", "x = 5")


class Says:
    """A verifier whose answers are fixed: an index, a verdict, or an exception."""

    name = "says"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def judge(self, task, steps, candidates, seed):
        self.asked.append([c.action.code for c in candidates])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Verdict) else Verdict(best=answer, reason="so")


@pytest.mark.parametrize(
    "garbage",
    [
        VerdictError("answered 'banana'"),
        5,
        -1,
        Verdict(best=0, reason="so", scores=(1.0,)),
    ],
)
async def test_d2_garbage_never_becomes_candidate_0(world, garbage):
    inner = Says(garbage)
    verdict = await world("?").judge(HonestVerifier(inner, attempts=3), *CODES)
    assert verdict.best is None and verdict.attempts == 3 == len(inner.asked)
    assert "no verdict after 3 attempts" in verdict.reason


async def test_d2_a_second_answer_is_asked_for_and_counts(world):
    inner = Says(VerdictError("no number"), 2)
    verdict = await world("?").judge(HonestVerifier(inner), *CODES)
    assert verdict.attempts == 2
    assert CODES[verdict.best] == inner.asked[1][2]
    assert inner.asked[0] != inner.asked[1]


async def test_d2_an_honest_abstention_is_not_asked_again(world):
    inner = Says(Verdict(best=None, reason="all failed"))
    verdict = await world("?").judge(HonestVerifier(inner), *CODES)
    assert (verdict.best, verdict.reason, verdict.attempts) == (None, "all failed", 1)


async def test_d2_an_outage_is_not_taken_for_a_verdict(world):
    with pytest.raises(ConnectionError):
        await world("?").judge(HonestVerifier(Says(ConnectionError("down"))), *CODES)


async def test_d5_a_verifier_that_likes_the_first_place_favours_nobody(world):
    picks = Counter()
    for seed in range(500):
        picks[(await world("?").judge(HonestVerifier(Says(0)), *CODES, seed=seed)).best] += 1
    assert all(60 < picks[i] < 140 for i in range(5)), picks


async def test_d5_order_and_scores_are_given_back_in_the_callers_numbering(world):
    class Longest:
        name = "longest"

        async def judge(self, task, steps, candidates, seed):
            scores = tuple(float(c.action.code[-1]) for c in candidates)
            return Verdict(best=scores.index(max(scores)), reason="", scores=scores)

    for seed in range(5):
        verdict = await world("?").judge(HonestVerifier(Longest()), *CODES, seed=seed)
        assert verdict.best == 4 and verdict.scores == (1.0, 2.0, 3.0, 4.0, 5.0)
        assert sorted(verdict.order) == [0, 1, 2, 3, 4]


def test_it_must_be_asked_at_least_once():
    with pytest.raises(ValueError, match="attempts=0"):
        HonestVerifier(Says(0), attempts=0)
