"""ToolAcc, CodeExec and AnsAcc (paper, section 4.1), and their summary over a set of tasks.

The paper does not publish its rule for ToolAcc; here it is an order-preserving alignment of the
called tools with the gold chain: matched / the longer of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq
from typing import Any, TypeVar

from sport.evals.answers import same_answer
from sport.evals.base import Score
from sport.evals.statistics import bootstrap_mean, mcnemar_exact, paired_bootstrap, wilson
from sport.types import Record, Task, Trajectory

Interval = tuple[float, float]
T = TypeVar("T")


def score(task: Task, trajectory: Trajectory) -> Score:
    """Scores one trajectory on its task.

    Args:
        task: The task with its gold. Without gold, or with a gold that names no answer or no
            tools, the figure concerned is ``None``: it is left out of means, never counted as 0.
        trajectory: What was done about it; of each step only the winner counts.

    Raises:
        ValueError: If the trajectory is another task's.
    """
    if trajectory.task.id != task.id:
        raise ValueError(
            f"score: the trajectory is of task {trajectory.task.id!r}, not of {task.id!r}"
        )
    answer = task.gold.answer if task.gold else None
    chain = task.gold.tools if task.gold else ()
    return score_steps(
        task,
        trajectory,
        None if answer is None else answered(trajectory, answer),
        _tools(trajectory.tools) if chain else [],
        _tools(chain),
    )


def score_steps(
    task: Task,
    trajectory: Trajectory,
    answer: bool | None,
    called: Sequence[T],
    chain: Sequence[T],
    same: Callable[[T, T], bool] = eq,
) -> Score:
    """The score of a trajectory whose answer has been judged.

    Args:
        task: The task.
        trajectory: What was done about it.
        answer: Whether its answer is right.
        called: The tools that were called, in order.
        chain: The gold chain; without one, ToolAcc is ``None``.
        same: Whether a called tool is the tool of the chain.
    """
    first = bool(called) and bool(chain) and same(called[0], chain[0])
    return Score(
        answer=answer,
        tool_acc=alignment(called, chain, same) if chain else None,
        code_exec=_code_exec(trajectory),
        steps=len(trajectory.steps),
        finished=trajectory.end == "finished",
        kind=task.kind,
        first_tool=first if chain else None,
        foreign=sum(not any(same(c, g) for g in chain) for c in called) if chain else 0,
        missing=len(chain) - common_length(called, chain, same),
        task=task.id,
    )


def answered(trajectory: Trajectory, answer: Any) -> bool:
    """Whether a trajectory gave the answer ``answer``; one that gave none is wrong."""
    given = trajectory.final_answer
    return given is not None and same_answer(given.value, answer)


def alignment(called: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool] = eq) -> float:
    """Matched tools / the longer of the two chains; ``final_answer`` does not count.

    Two empty chains agree: 1.
    """
    mine, theirs = _tools(called), _tools(gold)
    longer = max(len(mine), len(theirs))
    return common_length(mine, theirs, same) / longer if longer else 1.0


def common_length(a: Sequence[T], b: Sequence[T], same: Callable[[T, T], bool] = eq) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        above = row
        row = [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if same(x, y) else max(above[j + 1], row[j]))
    return row[-1]


def _tools(chain: Sequence[T]) -> list[T]:
    return [name for name in chain if name != "final_answer"]


def _code_exec(trajectory: Trajectory) -> float:
    """Share of steps whose chosen action parsed and ran; a trajectory without steps ran nothing."""
    ran = [step.winner is not None and step.winner.ok for step in trajectory.steps]
    return sum(ran) / len(ran) if ran else 0.0


class Figures(Record):
    """The metrics over some tasks, as fractions; ``None`` where no task could be scored.

    Attributes:
        n: Number of tasks.
        tool_acc: Mean ToolAcc over the tasks with a gold chain.
        code_exec: Mean CodeExec over tasks.
        ans_acc: Share of right answers among the tasks with a gold answer.
        finished: Share of trajectories that ended with an answer of their own.
        first_tool: Share of the tasks with a gold chain whose first tool is the chain's.
    """

    n: int
    tool_acc: float | None
    code_exec: float | None
    ans_acc: float | None
    finished: float | None
    first_tool: float | None


class Summary(Figures):
    """The metrics over a split with 95 % intervals (Wilson for AnsAcc, else bootstrap over tasks).

    Attributes:
        right: Tasks answered right.
        answerable: Tasks with a gold answer.
        by_kind: The figures of each kind of task, kinds in alphabetical order.
    """

    tool_acc_ci: Interval | None
    code_exec_ci: Interval | None
    ans_acc_ci: Interval | None
    right: int
    answerable: int
    by_kind: dict[str, Figures]


def summarise(scores: Sequence[Score], seed: int = 0) -> Summary:
    """The summary of a split; ``seed`` is the bootstrap's."""
    answers = [s.answer for s in scores if s.answer is not None]
    tools = [s.tool_acc for s in scores if s.tool_acc is not None]
    kinds = sorted({s.kind for s in scores if s.kind})
    return Summary(
        **dict(_figures(scores)),
        tool_acc_ci=bootstrap_mean(tools, seed) if tools else None,
        code_exec_ci=bootstrap_mean([s.code_exec for s in scores], seed) if scores else None,
        ans_acc_ci=wilson(sum(answers), len(answers)) if answers else None,
        right=sum(answers),
        answerable=len(answers),
        by_kind={kind: _figures([s for s in scores if s.kind == kind]) for kind in kinds},
    )


def _figures(scores: Sequence[Score]) -> Figures:
    return Figures(
        n=len(scores),
        tool_acc=_mean([s.tool_acc for s in scores if s.tool_acc is not None]),
        code_exec=_mean([s.code_exec for s in scores]),
        ans_acc=_mean([float(s.answer) for s in scores if s.answer is not None]),
        finished=_mean([float(s.finished) for s in scores]),
        first_tool=_mean([float(s.first_tool) for s in scores if s.first_tool is not None]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


class Gain(Record):
    """How a figure changed on the same tasks.

    Attributes:
        n: Tasks that could be scored both times.
        diff: Mean of after - before, a fraction.
        lo: Lower end of the paired 95 % bootstrap interval.
        hi: Upper end.
        p: Exact McNemar test; for AnsAcc only.
    """

    n: int
    diff: float
    lo: float
    hi: float
    p: float | None = None


def gains(before: Sequence[Score], after: Sequence[Score], seed: int = 0) -> dict[str, Gain]:
    """The paired gains of ``ans_acc``, ``tool_acc`` and ``code_exec``.

    Args:
        before: Scores of the round to compare with, one a task.
        after: Scores of the same tasks, in the same order.
        seed: Of the bootstrap.

    Returns:
        One gain a metric; a metric that no task could be scored on is left out.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"gains: {len(before)} scores against {len(after)}; give the same tasks")
    found: dict[str, Gain] = {}
    for metric, field in (("ans_acc", "answer"), ("tool_acc", "tool_acc"), ("code_exec",) * 2):
        both = [(getattr(a, field), getattr(b, field)) for a, b in zip(before, after, strict=True)]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        if not known:
            continue
        old, new = [float(a) for a, _ in known], [float(b) for _, b in known]
        diff, lo, hi = paired_bootstrap(old, new, seed)
        p = mcnemar_exact(*zip(*known, strict=True)) if metric == "ans_acc" else None
        found[metric] = Gain(n=len(known), diff=diff, lo=lo, hi=hi, p=p)
    return found


def metric_row(
    summary: Summary,
    *,
    round: int,
    benchmark: str,
    split: str,
    agent: str,
    policy: str,
    samples: int,
    verifier: str,
    seed: int,
    seconds: float,
    control: str | None = None,
    gain: dict[str, Gain] | None = None,
) -> dict[str, Any]:
    """One row of ``metrics.jsonl``.

    Args:
        summary: The figures.
        round: Round of the loop; 0 is the starting policy.
        benchmark: Such as ``pocket``.
        split: Such as ``dev`` or ``test``.
        agent: What drives the controller, such as ``code``.
        policy: Versioned name of the policy.
        samples: Candidates a step; 1 is plain single-sample evaluation (D6).
        verifier: Name of the verifier that chose among them; ``""`` for a single sample.
        seed: The recipe's seed.
        seconds: Wall time of the evaluation.
        control: Name of the control, or ``None`` for the method itself.
        gain: The paired gains over round 0 (:func:`gains`), where there are any.
    """
    figures = summary.model_dump(mode="json")
    order = ("n", "tool_acc", "code_exec", "ans_acc", "tool_acc_ci", "code_exec_ci", "ans_acc_ci")
    return {
        "round": round,
        "benchmark": benchmark,
        "split": split,
        "control": control,
        "agent": agent,
        "policy": policy,
        "samples": samples,
        "verifier": verifier,
        "seed": seed,
        **{key: figures[key] for key in order},
        "right": figures["right"],
        "answerable": figures["answerable"],
        "finished": figures["finished"],
        "gain": {k: g.model_dump(mode="json") for k, g in gain.items()} if gain else None,
        "seconds": seconds,
        "by_kind": figures["by_kind"],
    }
