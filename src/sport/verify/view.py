"""What a rule sees: the question, what was known before the step, and what one candidate did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from sport.types import Candidate, Outcome, Step, Task
from sport.verify.evidence import Finding, finding, numbers_of, signature
from sport.verify.literals import constants, strings
from sport.verify.provenance import Origin, Reader
from sport.verify.words import Question, read_question


@dataclass(frozen=True)
class Past:
    """What was known before a step.

    Attributes:
        question: The query, read.
        files: Names of the task's files.
        findings: What the winners' tool calls showed.
        calls: Signatures of the tool calls of the winners that ran to their end.
        codes: The winners' codes.
        derived: Numbers that the winners' codes computed and printed.
        reader: What the variables are made of; to be forked, never read on.
        index: Index of the step to be judged.
    """

    question: Question
    files: tuple[str, ...]
    findings: tuple[Finding, ...]
    calls: frozenset[str]
    codes: frozenset[str]
    derived: frozenset[float]
    reader: Reader
    index: int


def numbers_in_all(findings: Iterable[Finding]) -> frozenset[float]:
    """The numbers that any of the findings reported."""
    return frozenset().union(*(f.numbers for f in findings))


@dataclass(frozen=True)
class View:
    """One candidate as the rules see it.

    Attributes:
        past: What was known before.
        candidate: The candidate.
        outcome: What came of it.
        code: Its code.
        findings: What its own tool calls showed.
        answer: Where its final answer comes from; ``None`` if it gives none.
    """

    past: Past
    candidate: Candidate
    outcome: Outcome
    code: str
    findings: tuple[Finding, ...]
    answer: Origin | None

    @property
    def question(self) -> Question:
        """The query, read."""
        return self.past.question

    @cached_property
    def evidence(self) -> tuple[Finding, ...]:
        """All findings that are not empty, the candidate's own included."""
        return tuple(f for f in (*self.past.findings, *self.findings) if not f.empty)

    @property
    def value(self) -> JsonValue:
        """The final answer's value."""
        return self.outcome.final_answer.value if self.outcome.final_answer else None

    @property
    def answers(self) -> bool:
        """Whether it gives a final answer."""
        return self.outcome.final_answer is not None

    @cached_property
    def searched_for(self) -> frozenset[str]:
        """The string literals by which its answer was taken out of what was observed."""
        own = strings(self.code, frozenset(self.past.reader.tools))
        return own | (self.answer.strings if self.answer else frozenset())


def look_back(task: Task, steps: Sequence[Step], candidates: Sequence[Candidate]) -> Past:
    """Reads all that happened before a step."""
    files = tuple(f.name for f in task.files)
    question = read_question(task.query)
    reader = Reader(_tools(steps, candidates))
    findings: list[Finding] = []
    observed, derived = set(question.numbers), set[float]()
    winners = [(s.index, s.winner) for s in steps if s.winner and s.winner.outcome]
    for index, winner in winners:
        code, outcome = winner.action.code or "", winner.outcome
        if outcome is None:
            continue
        reader.read(code, index)
        new = _findings(index, outcome, files)
        findings.extend(new)
        shown = computed(code, outcome, frozenset(observed))
        derived |= shown - frozenset().union(*(f.coordinates for f in findings))
        observed |= derived | numbers_in_all(new)
    # What a failed step had begun may be done again: nobody saw its results.
    outcomes = [w.outcome for _, w in winners if w.outcome and w.ok]
    return Past(
        question=question,
        files=files,
        findings=tuple(findings),
        calls=frozenset(signature(c) for o in outcomes for c in o.tool_calls),
        codes=frozenset(_plain(w.action.code) for _, w in winners),
        derived=frozenset(derived),
        reader=reader,
        index=len(steps),
    )


def look_at(past: Past, candidate: Candidate, outcome: Outcome) -> View:
    """Reads one candidate that ran."""
    reader, code = past.reader.fork(), candidate.action.code or ""
    reader.read(code, past.index)
    answer = reader.answer
    if outcome.final_answer is not None and answer is None:
        answer = Origin()  # given in a way that cannot be followed
    own = _findings(past.index, outcome, past.files)
    return View(past, candidate, outcome, code, own, answer)


def _plain(code: str | None) -> str:
    return "".join((code or "").split())


def repeats_code(view: View) -> bool:
    """Whether an earlier step ran the same code."""
    return _plain(view.code) in view.past.codes


def _findings(index: int, outcome: Outcome, files: Iterable[str]) -> tuple[Finding, ...]:
    return tuple(finding(index, c, files) for c in outcome.tool_calls if c.error is None)


def computed(
    code: str, outcome: Outcome, observed: frozenset[float] = frozenset()
) -> frozenset[float]:
    """The numbers that a code printed without having written them down itself.

    Args:
        code: The code.
        outcome: What came of it.
        observed: Numbers that code may write down.
    """
    printed = numbers_of(f"{outcome.stdout}\n{outcome.value or ''}")
    return frozenset(printed) - (constants(code) - observed)


def _tools(steps: Sequence[Step], candidates: Sequence[Candidate]) -> dict[str, bool]:
    """The tools seen at work, and whether each returns text."""
    known: dict[str, bool] = {}
    for candidate in (*(s.winner for s in steps if s.winner), *candidates):
        for call in candidate.outcome.tool_calls if candidate.outcome else ():
            known[call.name] = known.get(call.name, False) or isinstance(call.result, str)
    return known
