from collections import Counter

import pytest

from sport.types import Gold
from sport.verify import DegradedOracle, HonestVerifier, OracleVerifier, RandomVerifier

READ = 'text = ocr(image_path="image_0.png")\nprint(text)'
SEARCH = 'page = search(query="price")\nprint(page)'


@pytest.fixture
def shop(world):
    return world(
        "What does it cost?", ocr=lambda image_path: "tea 2", search=lambda query: "3.5",
        locate=lambda image_path: [],
    )  # fmt: skip


@pytest.fixture
def oracle(shop):
    return OracleVerifier({shop.task.id: Gold(answer=7, tools=("ocr", "search"))})


async def test_the_oracle_wants_the_next_tool_of_the_chain(shop, oracle):
    assert (await shop.judge(oracle, "final_answer(8)", "x = 1", READ, "1 / 0")).best == 2
    shop.go(READ)
    verdict = await shop.judge(oracle, READ, "final_answer(8)", None, SEARCH)
    assert verdict.best == 3 and verdict.reason == "takes the next tool of the gold chain"


async def test_the_oracle_wants_the_right_answer_most(shop, oracle):
    early = await shop.judge(oracle, "final_answer(7)", READ)
    assert early.best == 1  # a lucky guess is not what should be learnt
    shop.go(READ).go(SEARCH)
    assert (await shop.judge(oracle, SEARCH, "final_answer(8)", 'final_answer("7.00")')).best == 2


async def test_the_oracle_abstains_where_nothing_is_right(shop, oracle):
    verdict = await shop.judge(oracle, "final_answer(8)", 'print(locate("image_0.png"))', "1 / 0")
    assert verdict.best is None and len(verdict.scores) == 3


async def test_the_oracle_names_all_that_is_acceptable(shop, oracle):
    candidates = [shop.candidate(c) for c in (READ, "x = 1", READ + "\n")]
    assert oracle.acceptable(shop.task, [], candidates) == {0, 2}


async def test_the_oracle_refuses_a_task_without_gold(shop):
    with pytest.raises(KeyError, match="no gold for task 'What does it cost\\?'"):
        await shop.judge(OracleVerifier({}), READ)
    without = OracleVerifier({shop.task.id: Gold(tools=("ocr",))})
    with pytest.raises(ValueError, match="has no answer"):
        await shop.judge(without, READ)


async def test_the_random_verifier_names_each_equally_often(shop):
    codes = [READ, "1 / 0", None, "x = 1"]
    candidates = [shop.candidate(c) for c in codes]
    drawn = Counter(
        [(await RandomVerifier().judge(shop.task, [], candidates, s)).best for s in range(4000)]
    )
    assert all(900 < drawn[i] < 1100 for i in range(4))


async def test_a_degraded_oracle_is_right_as_often_as_it_should_be(shop, oracle):
    candidates = [shop.candidate(c) for c in (READ, "x = 1", "1 / 0")]
    degraded = DegradedOracle(oracle, 0.7)
    picks = [(await degraded.judge(shop.task, [], candidates, s)).best for s in range(1000)]
    assert 650 < picks.count(0) < 750
    with pytest.raises(ValueError, match="not a probability"):
        DegradedOracle(oracle, 70)


async def test_controls_pass_through_the_honest_wrapper(shop, oracle):
    honest = HonestVerifier(oracle)
    for seed in range(10):
        verdict = await shop.judge(honest, "final_answer(8)", READ, "x = 1", seed=seed)
        assert verdict.best == 1 and verdict.verifier == "oracle"
        assert max(verdict.scores) == verdict.scores[1]
