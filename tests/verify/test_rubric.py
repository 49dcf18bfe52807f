import time

import pytest

from sport.types import Candidate, Observation, Outcome
from sport.verify import RubricVerifier

RUBRIC = RubricVerifier()
MENU = "Lunch\nonion soup 4.50\nfish stew 11.25\nlemon cake 3.80"
BOXES = [[12, 40, 33, 61], [70, 41, 95, 66], [120, 4, 147, 31]]
READ = 'text = ocr(image_path="image_0.png")\nprint(text)'
LOCATE = 'boxes = objectlocation(object="red car", image_path="image_0.png")\nprint(boxes)'


def pick(row, source="text"):
    return f'import re\nprice = float(re.search(r"{row}\\D*([\\d.]+)", {source})[1])\n'


def ocr(text):
    return lambda image_path: text


def locate(**found):
    return lambda object, image_path: found.get(object.replace(" ", "_"), [])


def search(page="No results found."):
    return lambda query: page


def look(question, image_path):
    return "A photograph."


@pytest.fixture
def menu(world):
    """A price board, and a query about one of its rows."""
    query = "How much do 3 fish stew cost?"
    return world(
        query, ocr=ocr(MENU), objectlocation=locate(), visualizer=look,
        ask_search_agent=search("At Old Inn one fish stew costs 9.10 dollars."),
    )  # fmt: skip


@pytest.fixture
def street(world):
    """A photograph, and a query about a count."""
    return world(
        "How many red cars are in the photo?", ocr=ocr(""), visualizer=look,
        objectlocation=locate(red_car=BOXES, car=[*BOXES, [5, 6, 20, 30]]),
    )  # fmt: skip


async def prefers(world, better, *worse):
    """The better code is named wherever it stands, for several seeds."""
    for seed in range(3):
        for place in range(len(worse) + 1):
            codes = [*worse[:place], better, *worse[place:]]
            verdict = await world.judge(RUBRIC, *codes, seed=seed)
            assert verdict.best == place, verdict
    return verdict


async def test_the_tool_whose_result_serves_the_query_wins(menu):
    verdict = await prefers(
        menu, READ,
        'print(objectlocation(object="fish stew", image_path="image_0.png"))',
        'print(visualizer(question="What is in the picture?", image_path="image_0.png"))',
        'print(ask_search_agent(query="price of fish stew"))',
        "print(3 * 4)",
        "x = 3",
        "final_answer(33.75)",
        "text = ocr(image)",
        None,
    )  # fmt: skip
    assert "finds what is asked about, with ocr" in verdict.reason


async def test_a_count_is_located_and_precisely_so(street):
    await prefers(
        street, LOCATE, READ, LOCATE.replace("red car", "car"), LOCATE.replace("red car", "bus")
    )


async def test_the_picture_comes_before_the_search(world):
    page = "At Blue Fox one apple costs 1.20 dollars."
    shop = world(
        "What do all the apples cost at Blue Fox?",
        objectlocation=locate(apple=BOXES), ask_search_agent=search(page),
    )  # fmt: skip
    find = 'boxes = objectlocation(object="apple", image_path="image_0.png")\nprint(len(boxes))'
    ask = 'page = ask_search_agent(query="price of apple at Blue Fox")\nprint(page)'
    await prefers(shop, find, ask, "final_answer(3.6)")
    shop.go(find)
    early = "final_answer(len(boxes) * 2)"
    astray = 'print(ask_search_agent(query="price of pear at Blue Fox"))'
    elsewhere = 'print(ask_search_agent(query="price of apple at Red Owl"))'
    await prefers(shop, ask, early, find, astray, elsewhere)
    shop.go(ask)
    answer = pick("apple", "page") + "final_answer(len(boxes) * price)"
    await prefers(
        shop, answer, ask, find,
        pick("apple", "page") + "final_answer(price)",
        pick("apple", "page") + "final_answer(2 * price)",
        "final_answer(len(boxes) * 1.99)",
    )  # fmt: skip


async def test_a_name_in_the_query_has_to_be_looked_up(world):
    shop = world("How much cheaper is jam at Blue Fox?", ocr=ocr("jam 4.20"))
    verdict = await shop.go(READ).judge(RUBRIC, pick("jam") + "final_answer(price - price)")
    assert verdict.best is None and "answers before 'blue fox' was looked up" in verdict.reason


async def test_an_answer_is_computed_from_what_was_observed(menu):
    menu.go(READ)
    answer = pick("fish stew") + "final_answer(round(3 * price, 2))"
    verdict = await prefers(
        menu, answer,
        "final_answer(33.74)",
        "final_answer(round(3 * 4.4, 2))",
        'final_answer("34.10")',
        'final_answer(float("12.00") * 3)',
        "price = 10.0\nfinal_answer(3 * price)",
        "total = 0\nfor i in range(3):\n    total += 9\nfinal_answer(total)",
        "final_answer(text)",
        "final_answer(len(text))",
        "final_answer(None)",
        pick("fish stew") + "final_answer(price)",
        pick("fish stew") + "final_answer(-3 * price)",
        pick("fish stew") + "final_answer(round(3 + price, 2))",
        pick("fish stew") + "n = 3\nfinal_answer(round(price - n, 2))",
        pick("lemon cake") + "final_answer(3 * price)",
        READ,
    )  # fmt: skip
    assert "computes the answer from what the tools returned" in verdict.reason


async def test_money_may_be_added_to_a_price(world):
    shop = world("What do 2 teas cost with a tip of 3 dollars?", ocr=ocr("tea 4.20\ncake 3.10"))
    shop.go(READ)
    await prefers(
        shop, pick("tea") + "final_answer(2 * price + 3)", pick("tea") + "final_answer(2 + price)"
    )
    fee = world("What does tea cost with a fee of 3 dollars?", ocr=ocr("tea 4.20\ncake 3.10"))
    await prefers(fee.go(READ), pick("tea") + "final_answer(price + 3)", pick("tea") + "1 / 0")


async def test_a_vague_look_is_better_than_a_guess_but_no_step_forward(menu):
    vague = 'print(visualizer(question="What is in the picture?", image_path="image_0.png"))'
    await prefers(menu, vague, "final_answer(9)", "1 / 0")
    assert (await menu.go(READ).judge(RUBRIC, vague, "final_answer(9)")).best is None


async def test_what_rules_without_an_answer_cannot_see_is_no_preference(menu):
    """Cents cut off, or rounded away: observed values of the right row, by the right operation."""
    menu.go(READ)
    right = pick("fish stew") + "final_answer(round(3 * price, 2))"
    cut = right.replace("([\\d.]+)", "(\\d+)")
    coarse = right.replace(", 2))", "))")
    assert len({right, cut, coarse}) == 3
    scores = (await menu.judge(RUBRIC, right, cut, coarse)).scores
    assert scores is not None and len(set(scores)) == 1


async def test_values_in_variables_are_better_than_values_copied_by_hand(menu):
    menu.go(READ)
    copied = "final_answer(round(3 * 11.25, 2))"
    await prefers(menu, copied, "final_answer(round(3 * 11.20, 2))")
    await prefers(menu, pick("fish stew") + "final_answer(round(3 * price, 2))", copied)


async def test_a_number_that_the_model_printed_itself_is_not_an_observation(menu):
    menu.go(READ).go("print(7.77)")
    verdict = await menu.judge(RUBRIC, "final_answer(3 * 7.77)")
    assert verdict.best is None and "invents 7.77" in verdict.reason


async def test_what_code_computed_and_printed_is_an_observation(menu):
    menu.go(READ).go(pick("fish stew") + "print(3 * price)")
    verdict = await menu.judge(RUBRIC, "final_answer(33.75)", "final_answer(33.85)")
    assert verdict.best == 0


async def test_box_coordinates_do_not_make_an_invented_count_look_observed(street):
    street.go(LOCATE)  # prints the boxes: 4 and 12 are among their coordinates
    assert "4" in street.steps[0].candidates[0].observation.text
    for count in (4, 12, 31):
        verdict = await street.judge(RUBRIC, f"final_answer({count})")
        assert verdict.best is None and f"invents {count}" in verdict.reason
    for printed in ("for b in boxes:\n    print(*b)", "print(str(boxes)[1:-1])"):
        street.go(printed)
        assert (await street.judge(RUBRIC, "final_answer(12)")).best is None
    assert (await street.judge(RUBRIC, "final_answer(12)", "final_answer(3)")).best == 1
    await prefers(street, "final_answer(len(boxes))", "final_answer(3)", "final_answer(12)")


async def test_box_coordinates_in_text_are_no_observation_either(world):
    scene = world("How many cats are there?", detect=lambda image_path: "cat [4, 5, 30, 40]")
    scene.go('print(detect(image_path="image_0.png"))')
    assert (await scene.judge(RUBRIC, "final_answer(5)")).best is None


async def test_the_same_call_again_tells_nothing_new(street):
    street.go(READ)
    verdict = await street.judge(RUBRIC, READ, 'print(ocr("/workspace/image_0.png"))', LOCATE)
    assert verdict.best == 2
    street.go(LOCATE)
    again = LOCATE.replace("boxes", "others")
    verdict = await street.judge(RUBRIC, again, "final_answer(len(boxes))")
    assert verdict.best == 1 and "repeats an earlier call" in verdict.reason


async def test_what_a_failed_step_began_may_be_done_again(street):
    street.go(LOCATE + "\nprint(undefined)")
    await prefers(street, LOCATE, READ, "final_answer(4)")


async def test_both_sides_of_a_comparison_are_looked_for(world):
    found = locate(red_car=BOXES, blue_car=BOXES[:1])
    street = world("How many more red cars than blue cars are there?", objectlocation=found)
    first = 'a = objectlocation(object="red car", image_path="image_0.png")\nprint(len(a))'
    second = first.replace("red", "blue").replace("a =", "b =").replace("(a)", "(b)")
    street.go(first)
    await prefers(street, second, "final_answer(len(a))", "final_answer(len(a) - 1)", first)
    street.go(second)
    await prefers(
        street, "final_answer(len(a) - len(b))",
        "final_answer(len(a) + len(b))", "final_answer(len(a) - len(a))",
        "final_answer(len(b) - len(a))", "final_answer(len(b))",
    )  # fmt: skip


async def test_an_answer_rests_on_results_that_are_not_empty(world):
    sign = world("How many stars are there?", ocr=ocr("stars 4"), objectlocation=locate())
    sign.go('boxes = objectlocation(object="star", image_path="image_0.png")\nprint(len(boxes))')
    await prefers(sign, READ, "final_answer(len(boxes))")


async def test_text_answers_are_quoted_and_not_invented(world):
    sign = world("What is the name of the shop?", ocr=ocr("Silver Kettle\nopen daily"))
    await prefers(sign, READ, 'final_answer("Golden Goose")')
    sign.go(READ)
    verdict = await sign.judge(
        RUBRIC, 'final_answer("Golden Goose")', "final_answer(text.splitlines()[0])"
    )
    assert verdict.best == 1
    assert (await sign.judge(RUBRIC, 'final_answer("Silver Kettle")')).best == 0
    assert (await sign.judge(RUBRIC, 'final_answer("Golden Goose")')).best is None


async def test_own_tools_need_no_table_of_names(world):
    scale = world("How much does the parcel weigh?", weigh=lambda image_path: {"grams": 512})
    call = 'w = weigh(image_path="image_0.png")\nprint(w)'
    await prefers(scale, call, "final_answer(500)")
    scale.go(call)
    await prefers(scale, 'final_answer(w["grams"])', "final_answer(500)", call)


async def test_it_abstains_with_the_reason_where_nothing_is_acceptable(menu):
    verdict = await menu.judge(RUBRIC, "1 / 0", None, "final_answer(1)")
    assert verdict.best is None and "no candidate is acceptable" in verdict.reason
    assert len(verdict.scores) == 3
    verdict = await menu.judge(RUBRIC, "1 / 0", None)
    assert verdict.best is None and "ZeroDivisionError" in verdict.reason


async def test_ties_are_broken_by_the_seed_alone(street):
    twins = [LOCATE, LOCATE + "\n"]
    seen = {(await street.judge(RUBRIC, *twins, seed=s)).best for s in range(20)}
    assert seen == {0, 1}
    assert await street.judge(RUBRIC, *twins, seed=4) == await street.judge(RUBRIC, *twins, seed=4)


@pytest.mark.parametrize(
    "code",
    [
        "x = " + "-" * 5000 + "1\nfinal_answer(x)",
        "final_answer(" + "+".join(["1"] * 3000) + ")",
        "x = 1\n" * 20_000,
        "final_answer(" + "9" * 5000 + ")",
        "\0",
        "def f(:",
        "final_answer = 3",
        "import math\nfinal_answer(math.inf)",
    ],
)
async def test_hostile_code_is_judged_and_does_no_harm(street, code):
    ran = Candidate(
        action=street.candidate("x = 1").action.model_copy(update={"code": code}),
        outcome=Outcome(),
        observation=Observation(text=""),
    )
    verdict = await RUBRIC.judge(street.task, [], [ran, street.candidate(LOCATE)], 0)
    assert verdict.best == 1


async def test_a_judgement_is_cheap(menu):
    menu.go(READ)
    codes = [pick("fish stew") + f"final_answer(round({n} * price, 2))" for n in range(200)]
    candidates = [menu.candidate(c) for c in codes]
    start = time.process_time()
    await RUBRIC.judge(menu.task, menu.steps, candidates, 0)
    assert (time.process_time() - start) / len(candidates) < 0.002
