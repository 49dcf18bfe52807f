from collections import Counter

import pytest
from tune_toys import candidate, step, trajectory

from sport.tune import PairConfig, build_pairs
from sport.tune.pairs import code_tokens
from sport.types import Candidate

READ = "text = ocr(image_path='image_0.png')\nprint(text)"
FIND = "boxes = objectlocation(object='star', image_path='image_0.png')\nprint(len(boxes))"


def fates(*candidates: Candidate, best: int | None = 0, **config: object) -> Counter[str]:
    pairs, reasons = build_pairs(
        [trajectory([step(0, candidates, best)])], PairConfig.model_validate(config)
    )
    assert reasons["kept"] == len(pairs)
    assert reasons.total() == len(candidates) - (best is not None)
    return reasons


def test_best_against_each_other_one() -> None:
    steps = [
        step(0, [candidate(FIND), candidate(READ), candidate("final_answer(1)")], best=1),
        step(1, [candidate("final_answer(2)"), candidate(READ)], best=0),
    ]
    pairs, reasons = build_pairs([trajectory(steps, id="a")])
    assert [(p.task_id, p.step, p.chosen, p.rejected) for p in pairs] == [
        ("a", 0, 1, 0),
        ("a", 0, 1, 2),
        ("a", 1, 0, 1),
    ]
    assert reasons == {"kept": 3}


def test_a_failed_loser_is_a_loser() -> None:
    assert fates(candidate(READ), candidate(FIND, "error")) == {"kept": 1}


def test_d2_no_verdict_no_pair() -> None:
    assert fates(candidate(READ), candidate(FIND), best=None) == {"no verdict": 2}


@pytest.mark.parametrize("status", ["error", "timeout", "died"])
def test_d3_a_winner_that_failed_teaches_nothing(status: str) -> None:
    winner = candidate(READ).model_copy(update={"outcome": None})
    assert fates(winner, candidate(FIND)) == {"winner failed": 1}
    assert fates(candidate(READ, status), candidate(FIND)) == {"winner failed": 1}  # type: ignore[arg-type]


def test_d3_an_action_is_never_paired_with_itself() -> None:
    same = READ.replace("'", '"').replace(" = ", "=") + "   # the same, laid out otherwise\n"
    assert fates(candidate(READ), candidate(READ), candidate(same)) == {"equal": 2}


LONG = "\n".join(f"x{i} = {i}" for i in range(30)) + "\nprint(x7)"


def test_d3_near_identical_pairs_are_dropped() -> None:
    nearly = candidate(LONG.replace("x7", "y7"))
    assert fates(candidate(LONG), nearly) == {"too similar": 1}
    assert fates(candidate(LONG), nearly, max_similarity=1.0) == {"kept": 1}


def test_d4_one_word_that_changes_the_result_is_a_difference() -> None:
    other = candidate(LONG.replace("print(x7)", "print(x8)"), stdout="8")
    assert fates(candidate(LONG, stdout="7"), other) == {"kept": 1}


def test_d4_short_actions_that_differ_in_what_matters_survive() -> None:
    """Character-level BLEU below 0.3 dropped all of these."""
    for one, other in [
        ("final_answer(len(boxes))", "final_answer(len(boxes) * price)"),
        ("print(ocr(image_path='image_0.png'))", "print(ocr(image_path='image_1.png'))"),
        (FIND, FIND.replace("star", "moon")),
        ("final_answer(12)", "final_answer(13)"),
    ]:
        assert fates(candidate(one), candidate(other)) == {"kept": 1}


def test_indentation_is_meaning() -> None:
    inside = "for x in xs:\n    y = x\n    print(y)"
    after = "for x in xs:\n    y = x\nprint(y)"
    assert code_tokens(inside) != code_tokens(after)


def test_unparsed_and_broken_code() -> None:
    assert fates(candidate(READ), candidate(None)) == {"unparsed": 1}
    assert fates(candidate(None), candidate(READ)) == {"unparsed": 1}
    assert fates(candidate(READ), candidate("print('", "error")) == {"kept": 1}


def test_margin_and_caps_are_counted() -> None:
    many = [candidate(READ), candidate(FIND), candidate("final_answer(1)"), candidate("a = 2")]
    first = step(0, many, 0, scores=(5.0, 4.5, 1.0, 2.0))
    second = step(1, many, 0, scores=(5.0, 4.5, 1.0, 2.0))
    told = [trajectory([first, second])]
    pairs, reasons = build_pairs(told, PairConfig(min_margin=1))
    assert reasons == {"kept": 4, "small margin": 2}
    pairs, reasons = build_pairs(told, PairConfig(max_per_step=2))
    assert reasons == {"kept": 4, "step is full": 2}
    assert [p.rejected for p in pairs] == [2, 3, 2, 3], "the clearest stay"
    pairs, reasons = build_pairs(told, PairConfig(max_per_task=4))
    assert reasons == {"kept": 4, "task is full": 2}
    assert [(p.step, p.rejected) for p in pairs] == [(0, 1), (0, 2), (0, 3), (1, 1)]


def test_candidates_of_equal_score_are_no_preference() -> None:
    """Which of them was named best was decided by lot."""
    many = [candidate(READ), candidate(FIND), candidate("a = 2")]
    told = [trajectory([step(0, many, 0, scores=(5.0, 5.0, 1.0))])]
    pairs, reasons = build_pairs(told)
    assert [p.rejected for p in pairs] == [2]
    assert reasons == {"kept": 1, "small margin": 1}
