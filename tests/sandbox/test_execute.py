"""What an outcome says about how the code ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sport.sandbox import ForkSandbox, Limits, Outcome

One = Callable[..., Awaitable[Outcome]]


async def test_output_and_the_value_of_a_last_expression(sandbox: ForkSandbox, one: One) -> None:
    outcome = await one(sandbox, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert (outcome.status, outcome.stdout, outcome.value) == ("ok", "out\nerr\n", "42")
    assert (await one(sandbox, "None")).value is None
    assert (await one(sandbox, "x = 1")).value is None
    assert (await one(sandbox, "__name__")).value == "'__main__'"


@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError", 2),
        ("def f():\n    return g()\ndef g():\n    raise ValueError('no')\n\nf()", "ValueError", 4),
        ("import json\njson.loads('{')", "JSONDecodeError", 2),
        ("x = (", "SyntaxError", 1),
        ("x = 1\nreturn x", "SyntaxError", 2),
        ("x = 1\n  y = 2", "IndentationError", 2),
        ("a\0b", "SyntaxError", None),
        ("'\ud800'.upper(", "SyntaxError", None),
        ("print(undefined)", "NameError", 1),
        ("def f(): f()\nf()", "RecursionError", 1),
        ("import sys\nsys.exit('stop')", "SystemExit", 2),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E", "E", 3),
        ("input('?')", "EOFError", 1),
        ("import subprocess\nsubprocess.run(['true'])", "PermissionError", 2),
    ],
)
async def test_errors(
    sandbox: ForkSandbox, one: One, code: str, kind: str, line: int | None
) -> None:
    outcome = await one(sandbox, code)
    assert outcome.status == "error"
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.line) == (kind, line)


async def test_the_line_is_that_of_this_steps_code(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    [first] = await sandbox.run(base, ["def f():\n    pass\n    pass\n    raise ValueError"])
    base = await sandbox.commit(first)
    [second] = await sandbox.run(base, ["f()"])
    assert second.error is not None
    assert second.error.line == 1


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("'text'", "text"),
        ("3", 3),
        ("2.5", 2.5),
        ("True", True),
        ("None", None),
        ("[1, 'a', None]", [1, "a", None]),
        ("(1, 2)", [1, 2]),
        ("{3, 1, 2}", [1, 2, 3]),
        ("{'a': {1: 2}}", {"a": {"1": 2}}),
        ("range(3)", [0, 1, 2]),
        ("__import__('pathlib').Path('out/a.png')", "out/a.png"),
        ("__import__('pathlib').Path('a.png').absolute()", "/workspace/a.png"),
        ("__import__('numpy').float32(1.5)", 1.5),
        ("__import__('numpy').int64(7)", 7),
        ("__import__('numpy').array([[1, 2]])", [[1, 2]]),
        ("__import__('decimal').Decimal('1.5')", 1.5),
        ("__import__('datetime').date(2024, 1, 2)", "2024-01-02"),
        ("float('inf')", "inf"),
        ("float('nan')", "nan"),
        ("1 + 2j", "(1+2j)"),
        ("object", "<class 'object'>"),
        ("10 ** 30", 10**30),
        ("'\\ud800'", "?"),
    ],
)
async def test_d7_a_final_answer_is_any_value(
    sandbox: ForkSandbox, one: One, code: str, value: Any
) -> None:
    outcome = await one(sandbox, f"final_answer({code})\nprint('not reached')")
    assert (outcome.status, outcome.stdout) == ("ok", "")
    assert outcome.final_answer is not None
    assert outcome.final_answer.value == value
    assert type(outcome.final_answer.value) is type(value)


async def test_final_answer_ends_the_code_through_except_exception(
    sandbox: ForkSandbox, one: One
) -> None:
    code = "try:\n    final_answer(1)\nexcept Exception:\n    print('swallowed')\nprint('after')"
    outcome = await one(sandbox, code)
    assert outcome.stdout == ""
    assert outcome.final_answer is not None
    swallowed = await one(sandbox, "try:\n    final_answer(1)\nexcept:\n    pass\nfinal_answer(2)")
    assert swallowed.final_answer is not None
    assert swallowed.final_answer.value == 1, "the first answer counts"


async def test_a_final_answer_that_cannot_be_told(sandbox: ForkSandbox, one: One) -> None:
    for code in ("x = []; x.append(x); final_answer(x)", "final_answer('x' * 10_000_000)"):
        outcome = await one(sandbox, code)
        assert (outcome.status, outcome.final_answer) == ("error", None)
    assert (await one(sandbox, "final_answer()")).status == "error"


async def test_a_shadowed_name_is_there_again_at_the_next_step(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    [first] = await sandbox.run(base, ["final_answer = 3"])
    base = await sandbox.commit(first)
    [second] = await sandbox.run(base, ["final_answer(4)"])
    assert second.final_answer is not None


async def test_output_is_capped(one: One) -> None:
    async with ForkSandbox(limits=Limits(output_chars=100)) as sandbox:
        loud = await one(sandbox, "print('é' * 1000)\nprint('x' * 10_000_000)")
        assert (len(loud.stdout), loud.truncated, loud.status) == (100, True, "ok")
        quiet = await one(sandbox, "print('é' * 99)")
        assert (quiet.stdout, quiet.truncated) == ("é" * 99 + "\n", False)
        low = await one(sandbox, "import os\nos.write(1, b'raw')\nprint('\\ud800')")
        assert low.stdout == "raw?\n"


async def test_output_before_a_death_is_kept(sandbox: ForkSandbox, one: One) -> None:
    outcome = await one(sandbox, "print('before')\nimport os\nos._exit(1)")
    assert (outcome.status, outcome.stdout) == ("died", "before\n")
    assert outcome.notes


async def test_addresses_do_not_make_equal_runs_differ(sandbox: ForkSandbox, one: One) -> None:
    outcome = await one(sandbox, "print(object())\nobject()")
    assert outcome.stdout == "<object object at 0x…>\n"
    assert outcome.value == "<object object at 0x…>"


async def test_sets_iterate_alike_in_every_sandbox(one: One) -> None:
    seen = set()
    for _ in range(2):
        async with ForkSandbox() as sandbox:
            seen.add((await one(sandbox, "list({'a', 'b', 'c', 'd', 'e', 'f'})")).value)
    assert len(seen) == 1
