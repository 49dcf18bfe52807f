import pytest

from sport.policy.parse import parse_action

GOOD = "Thought: I read it.\nCode:\n```py\nprint(1)\n```<end_action>"


def test_the_papers_format() -> None:
    action = parse_action(GOOD, temperature=0.7, logp=-1.5)
    assert (action.thought, action.code, action.error) == ("I read it.", "print(1)", None)
    assert (action.text, action.temperature, action.logp) == (GOOD, 0.7, -1.5)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Thought: x Code: ```python\na = 1\n```<end_action>", "a = 1"),
        ("Thought: x\nCode:\n```\na = 1\n```", "a = 1"),
        ("```Python\na = 1\n```<end_action>", "a = 1"),
        ("Code:\n```py\na = 1<end_action>", "a = 1"),
        ("Code:\n```py\na = 1", "a = 1"),
        ("```py\na = 1\n```\nand then\n```py\nb = 2\n```<end_action>", "a = 1\nb = 2"),
        ("  ```py\n  if a:\n      b = 2\n  ```<end_action>", "if a:\n    b = 2"),
        ("Code:\r\n```py\r\na = 1\r\nb = 2\r\n```<end_action>", "a = 1\nb = 2"),
        ("```py\nprint('```')\na = 1\n```<end_action>", "print('```')\na = 1"),
        (GOOD + "\nObservation: 5\n```py\nprint(2)\n```", "print(1)"),
    ],
)
def test_tolerant_where_the_meaning_is_clear(text: str, code: str) -> None:
    action = parse_action(text)
    assert (action.code, action.error) == (code, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no code block"),
        ("Thought: I know it: 5.<end_action>", "no code block"),
        ("final_answer(5)<end_action>", "no code block"),
        ('```json\n{"a": 1}\n```<end_action>', "`json`"),
        ("Code:\n```py\n\n```<end_action>", "empty"),
    ],
)
def test_strict_where_it_is_not(text: str, says: str) -> None:
    action = parse_action(text)
    assert action.code is None
    assert action.error is not None
    assert says in action.error
    assert "<end_action>" in action.error, "the error says what to write instead"


def test_an_action_that_ran_out_of_tokens_is_an_error_unless_it_had_ended() -> None:
    cut = parse_action("Thought: x\nCode:\n```py\na = 1\n```", finish="length")
    assert cut.code is None
    assert cut.error is not None
    assert "too long" in cut.error
    assert parse_action(GOOD, finish="length").code == "print(1)"
