"""A step in three lines: codes run here with hand-made tools, as a sandbox would run them."""

import inspect

import pytest

from sport.types import (
    Action,
    Candidate,
    CodeError,
    File,
    FinalAnswer,
    Observation,
    Outcome,
    Step,
    Task,
    ToolCall,
    Trajectory,
    Verdict,
)


class _Answered(BaseException):
    pass


class World:
    """A task, its tools as plain functions, and the steps so far."""

    def __init__(self, query, files=("image_0.png",), **tools):
        self.task = Task(
            id=query, query=query,
            files=tuple(File(name=f, sha256="0" * 64, media_type="image/png") for f in files),
        )  # fmt: skip
        self.tools, self.codes, self.steps = tools, [], []

    def candidate(self, code):
        """What comes of a code after the steps so far; ``None`` is text without code."""
        if code is None:
            action = Action(text="no code", error="no code block")
            return Candidate(action=action, outcome=None, observation=Observation(text="?"))
        outcome = self._run([*self.codes, code])
        text = f"Thought: t\nCode:\n```py\n{code}\n```<end_action>"
        return Candidate(
            action=Action(text=text, thought="t", code=code),
            outcome=outcome,
            observation=Observation(text=outcome.stdout),
        )

    def go(self, code):
        """Takes a step with one candidate."""
        one = self.candidate(code)
        verdict = Verdict(best=0, reason="")
        self.steps.append(Step(index=len(self.steps), candidates=(one,), verdict=verdict, chosen=0))
        self.codes.append(code)
        return self

    async def judge(self, verifier, *codes, seed=0):
        """The verdict on some codes as candidates of the next step."""
        return await verifier.judge(self.task, self.steps, [self.candidate(c) for c in codes], seed)

    def trajectory(self, end="finished"):
        return Trajectory(task=self.task, opening=(), steps=tuple(self.steps), end=end)

    def _run(self, codes):
        calls, out, answer, error = [], [], None, None
        names = {name: _recorded(name, f, calls) for name, f in self.tools.items()}
        names["print"] = lambda *a: out.append(" ".join(map(str, a)) + "\n")
        names["final_answer"] = _finish
        for code in codes:
            calls.clear(), out.clear()
            answer = error = None
            try:
                exec(compile(code, "<action>", "exec"), names)
            except _Answered as given:
                answer = FinalAnswer(value=given.args[0])
            except Exception as raised:
                error = CodeError(type=type(raised).__name__, message=str(raised))
        return Outcome(
            status="error" if error else "ok", error=error, stdout="".join(out),
            final_answer=answer, tool_calls=tuple(calls),
        )  # fmt: skip


def _finish(value):
    raise _Answered(value)


def _recorded(name, function, calls):
    def call(*args, **kwargs):
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        result = function(*args, **kwargs)
        calls.append(ToolCall(name=name, arguments=dict(given), result=result))
        return result

    return call


@pytest.fixture
def world():
    return World
