"""Deliberately imperfect demonstrations: what the embedded controller imitates at its start.

The teacher knows the ideal moves of a problem and spoils some of them, so that the warm start is
a weak imitator with headroom *by design*. Faults are concentrated: in the contexts of
:data:`HEADROOM` one fault dominates with a probability near 0.6, elsewhere all faults together have
about 0.15, because evenly spread noise averages out under greedy decoding. Three of the faults
(``cut``, ``coarse``, ``column``) run without error and combine observed values of the right row by
the right operation, so that rules that know no answer cannot see them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sport.pocket.grammar import COLOURS, SHAPES, Move, Problem, Sheet
from sport.pocket.reference import ReferenceTools
from sport.policy.messages import observe
from sport.types import Action, CodeError, FinalAnswer, Outcome

MAX_STEPS = 6
HEADROOM: Mapping[tuple[str, int], str] = {
    ("cost", 0): "vague",
    ("cost", 1): "wrong_formula",
    ("difference", 0): "wrong_tool",
    ("difference", 1): "wrong_formula",
    ("table", 1): "column",
    ("total", 1): "invent",
    ("cheaper", 1): "wrong_tool",
}
"""What there is to gain: the fault that dominates, by the kind of problem and the move.

None of them makes code fail: an action that failed is never taught, whoever names it best, so that
random verdicts would unlearn it. None lies where the picture decides which tool is needed. One,
``column``, is invisible to rules that know no answer: a ceiling.
"""
_SPOILT, _USUAL, _DOMINANT = 0.7, 0.15, 0.92
"""Share of faults in those contexts and in the others; the dominant one's share of the former."""


@dataclass(frozen=True)
class Demonstration:
    """A demonstrated trajectory: actions and what was observed after each but the last.

    Attributes:
        actions: Texts of the actions, in the action format.
        observations: Texts of the observations; one fewer than actions.
        faults: Number of spoilt actions.
        answer: What ``final_answer`` got; ``None`` if it was not called.
    """

    actions: tuple[str, ...]
    observations: tuple[str, ...]
    faults: int
    answer: object


def demonstrate(problem: Problem, rng: random.Random, clean: bool = False) -> Demonstration:
    """Acts on a problem with reference tools; ``clean`` spoils nothing."""
    world = _World(problem)
    actions: list[str] = []
    observations: list[str] = []
    done = faults = 0
    previous: Move | None = None
    while len(actions) < MAX_STEPS:
        ideal = problem.moves[done]
        fault = None if clean else _draw_fault(problem, done, previous, rng)
        move = ideal if fault is None else fault[1]
        faults += fault is not None
        action = Action(text=f"Thought: {move.thought}\nCode:\n```py\n{move.code}\n```<end_action>")
        actions.append(action.text)
        outcome = world.run(move.code)
        if outcome.final_answer is not None:
            return Demonstration(
                tuple(actions), tuple(observations), faults, outcome.final_answer.value
            )
        observations.append(observe(action, outcome).text)
        if fault is None and outcome.status == "error":
            done -= 1  # What an earlier fault left behind does not serve: get it again.
        elif outcome.status == "ok" and (fault is None or fault[0] == "wrong_object"):
            done += 1  # A tool that was asked for the wrong thing answers like any other.
        previous = move
    return Demonstration(tuple(actions), tuple(observations[:-1]), faults, None)


class _Answered(BaseException):
    """Ends the code at ``final_answer``."""

    def __init__(self, value: object) -> None:
        self.value = value


class _World:
    """Runs the teacher's own (trusted) code in a namespace that persists between steps."""

    def __init__(self, problem: Problem) -> None:
        self._printed: list[str] = []
        self._names: dict[str, object] = {
            "print": lambda *a: self._printed.append(" ".join(map(str, a))),
            "final_answer": self._finish,
            **ReferenceTools(problem).functions,
        }

    @staticmethod
    def _finish(value: object) -> None:
        raise _Answered(value)

    def run(self, code: str) -> Outcome:
        self._printed.clear()
        try:
            exec(compile(code, "<action>", "exec"), self._names)
        except _Answered as answer:
            return Outcome(final_answer=FinalAnswer(value=answer.value))
        except Exception as error:  # noqa: BLE001 - the fault is the lesson: it becomes the outcome
            return Outcome(status="error", error=_describe(error), stdout=self._output())
        return Outcome(stdout=self._output())

    def _output(self) -> str:
        return "".join(f"{line}\n" for line in self._printed)


def _describe(error: Exception) -> CodeError:
    if isinstance(error, SyntaxError):
        return CodeError(type="SyntaxError", message=error.msg, line=error.lineno)
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<action>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return CodeError(type=type(error).__name__, message=str(error), line=line)


# Which fault, where.


def _possible(problem: Problem, done: int) -> list[str]:
    """The faults that can befall a move when all before it went well."""
    ideal, previous = problem.moves[done], problem.moves[done - 1] if done else None
    names = [n for n in _FAULTS if n not in (_ANSWER_ONLY if ideal.tool else _TOOL_ONLY)]
    made = {name: _FAULTS[name](problem, ideal, previous, random.Random(0)) for name in names}
    return [n for n, move in made.items() if move is not None and move.code != ideal.code]


def _draw_fault(
    problem: Problem, done: int, previous: Move | None, rng: random.Random
) -> tuple[str, Move] | None:
    ideal, dominant = problem.moves[done], HEADROOM.get((problem.kind, done))
    if rng.random() >= (_USUAL if dominant is None else _SPOILT):
        return None
    name = (
        dominant if dominant and rng.random() < _DOMINANT else rng.choice(_possible(problem, done))
    )
    move = _FAULTS[name](problem, ideal, previous, rng)
    return (name, move) if move is not None and move.code != ideal.code else None


Fault = Callable[[Problem, Move, "Move | None", random.Random], "Move | None"]


def _wrong_tool(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    word = problem.words[0].split()[-1] if problem.words else rng.choice(SHAPES)
    read = Move("ocr", *_READING)
    locate = Move(
        "objectlocation",
        f"I will find each {word} in the picture.",
        f'boxes = objectlocation(object="{word}", image_path="image_0.png")\nprint(len(boxes))',
    )
    return locate if move.tool == "ocr" else read


_READING = (
    "I will read the text in the picture.",
    'text = ocr(image_path="image_0.png")\nprint(text)',
)


def _vague(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    return Move(
        "visualizer",
        "I will look at the picture.",
        'text = visualizer(question="What is in the picture?", image_path="image_0.png")\n'
        "print(text)",
    )


def _invent(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    whole = float(problem.answer).is_integer() and problem.kind not in ("chart", "table")
    number = str(rng.randint(1, 9)) if whole else f"{rng.randint(100, 3000) / 100:.2f}"
    return Move("", "I can see the answer.", f"final_answer({number})")


def _syntax(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    return Move(move.tool, move.thought, move.code.rstrip(")") + ")" * (_closing(move.code) - 1))


def _closing(code: str) -> int:
    return len(code) - len(code.rstrip(")"))


_MISNAMED = (
    ("price * ", "prices * "),
    ("text)", "texts)"),
    ("page)", "pages)"),
    ("boxes)", "box)"),
)


def _undefined(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    for right, wrong in _MISNAMED:
        if right in move.code:
            return Move(move.tool, move.thought, move.code.replace(right, wrong))
    return Move(move.tool, move.thought, move.code.replace("first)", "boxes)"))


def _repeat(problem: Problem, move: Move, previous: Move | None, rng: random.Random) -> Move | None:
    return previous if previous is not None and previous.tool else None


def _wrong_object(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    if move.tool not in ("objectlocation", "ask_search_agent"):
        return None
    for group in (COLOURS, SHAPES):
        found = re.search(rf"\b({'|'.join(group)})\b", move.code)
        if found:
            other = rng.choice([w for w in group if w != found[1]])
            thought, code = (
                re.sub(rf"\b{found[1]}\b", other, s) for s in (move.thought, move.code)
            )
            return Move(move.tool, thought, code)
    return None


def _wrong_row(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    if not isinstance(problem.picture, Sheet):
        return None
    names = [row[0] for row in problem.picture.rows]
    asked = [n for n in names if f'"{n}\\D' in move.code]
    others = [n for n in names if n not in asked]
    if not asked or not others:
        return None
    return Move("", move.thought, move.code.replace(f'"{asked[0]}\\D', f'"{rng.choice(others)}\\D'))


def _wrong_formula(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    for right, wrong in (("a - b", "a + b"), (" * price", " + price"), ("len(first) - ", "")):
        if right in move.code:
            return Move("", move.thought, move.code.replace(right, wrong))
    return None


_CENTS = ("cost", "difference", "total", "cheaper")
"""Kinds whose answers have decimals to lose."""


def _cut(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    if problem.kind not in _CENTS:
        return None
    return Move("", move.thought, move.code.replace("([\\d.]+)", "(\\d+)"))


def _coarse(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    if problem.kind not in _CENTS:
        return None
    return Move("", move.thought, move.code.replace(", 2))", "))"))


def _column(problem: Problem, move: Move, _: Move | None, rng: random.Random) -> Move | None:
    return Move("", move.thought, move.code.replace("int(row[2])", "int(row[1])"))


_FAULTS: Mapping[str, Fault] = {
    "wrong_tool": _wrong_tool,
    "vague": _vague,
    "invent": _invent,
    "syntax": _syntax,
    "undefined": _undefined,
    "repeat": _repeat,
    "wrong_object": _wrong_object,
    "wrong_row": _wrong_row,
    "wrong_formula": _wrong_formula,
    "cut": _cut,
    "coarse": _coarse,
    "column": _column,
}
_ANSWER_ONLY = frozenset({"wrong_row", "wrong_formula", "cut", "coarse", "column", "repeat"})
_TOOL_ONLY = frozenset({"wrong_tool", "vague", "wrong_object"})
