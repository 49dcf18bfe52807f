"""GTA's own figures, beside the usual ones: its step metrics, its F1 by family, its three scorers.

The step metrics (GTA, section 4.2; OpenCompass, ``GTABenchEvaluator``) compare the turn at each
place of a trajectory with the gold turn at that place: whether it is of the same sort (a call or an
answer) and ran (``gta_inst_acc``), names the same tool (``gta_tool_acc``), and has equal arguments
(``gta_arg_acc``); ``gta_summ_acc`` is the share of right answers among those that are answered in
text. Asked step by step after the gold history, they are the benchmark's; of a trajectory of the
agent's own they say how far it keeps to the gold one.

One thing differs: the published code divides ``inst_acc`` by the gold calls and the items with a
reference, although it counts all gold answers, so that it can exceed 100 %. Here it is divided by
the turns that are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sport.evals.base import Score
from sport.evals.gta.data import Item
from sport.evals.gta.mapping import FAMILIES, chain, counterparts
from sport.evals.gta.replay import Match, Replay
from sport.evals.metrics import score_steps
from sport.evals.scorers import PROTOCOLS, Protocol, gta_match
from sport.evals.similarity import similarity
from sport.evals.statistics import bootstrap_mean, bootstrap_ratio, wilson
from sport.types import Record, Step, Task, ToolCall, Trajectory

_TINY = 1e-5  # as published: keeps an F1 of nothing from being a division by zero


class Event(Record):
    """One turn of the assistant, as the step metrics see it."""

    kind: Literal["call", "answer"]
    name: str = ""
    arguments: dict[str, Any] = {}
    ok: bool = True


class GTAScore(Score):
    """A score with what GTA's own figures are summed up from.

    Attributes:
        similarity: Of an answer in sentences, in [0, 1]; ``None`` where it cannot be had.
        turns: Gold turns.
        inst: Turns of the right sort, without an error.
        gold_calls: Gold calls.
        tool_hits: Calls of the right tool, at the right place.
        arg_hits: Of those, calls with equal arguments.
        called: GTA's tools that were called, by family.
        wanted: Gold calls, by family.
        found: Gold calls whose tool was called at all, by family.
        replayed: How recordings were found: ``exact``, ``nearest``, ``unrecorded``.
        distance: Sum of the distances of the nearest ones.
    """

    similarity: float | None = None
    turns: int = 0
    inst: int = 0
    gold_calls: int = 0
    tool_hits: int = 0
    arg_hits: int = 0
    called: dict[str, int] = {}
    wanted: dict[str, int] = {}
    found: dict[str, int] = {}
    replayed: dict[str, int] = {}
    distance: float = 0.0


def score_item(
    item: Item,
    task: Task,
    trajectory: Trajectory,
    protocol: Protocol,
    replay: Replay,
    step_by_step: bool = False,
) -> GTAScore:
    """Scores a trajectory on an item.

    Args:
        item: The item.
        task: Its task.
        trajectory: What was done about it.
        protocol: The scorer that counts as AnsAcc.
        replay: The recordings, in the language of the tools that were called.
        step_by_step: Whether each step was asked for after the gold steps before it.
    """
    given = trajectory.final_answer
    answer = None if given is None else given.value
    # Sentences have a similarity in place of a match, and pictures have neither.
    matched = item.kind == "text"
    by_all = {p: gta_match(answer, item.gt_answer, p) if matched else None for p in PROTOCOLS}
    usual = score_steps(
        task,
        trajectory,
        by_all[protocol],
        chain(trajectory.tools),
        chain(tuple(call.name for call in item.calls)),
        lambda mine, theirs: bool(mine & theirs),
    )
    matches = [replay.find(c.name, c.arguments) for c in _calls(trajectory)]
    sentences = item.gt_answer if isinstance(item.gt_answer, list) else None
    return GTAScore(
        **{
            **dict(usual),
            "others": {p: found for p, found in by_all.items() if p != protocol},
            "exact": _all_made(item, matches) if matches else None,
        },
        similarity=None if sentences is None else similarity(answer, sentences),
        **_step_counts(item, trajectory, replay, step_by_step),
        **_family_counts(item, trajectory),
        replayed=dict(Counter(match.kind for match in matches)),
        distance=sum(match.distance for match in matches if match.kind == "nearest"),
    )


def _calls(trajectory: Trajectory) -> list[ToolCall]:
    return [
        call
        for step in trajectory.steps
        if step.winner and step.winner.outcome
        for call in step.winner.outcome.tool_calls
        if call.name != "final_answer"
    ]


def _all_made(item: Item, matches: Sequence[Match]) -> bool:
    made = [m.call for m in matches if m.kind == "exact" or (m.call and not m.distance)]
    return all(call in made for call in item.calls if counterparts(call.name))


def events(trajectory: Trajectory, step_by_step: bool = False) -> list[Event]:
    """The turns of a trajectory: its calls of tools in order, and its answer.

    Args:
        trajectory: The trajectory.
        step_by_step: Whether each step stands for one gold turn; then its first event counts.
            Otherwise a step that only computes in Python is no turn: GTA has tools for that.
    """
    by_step = [_events_of(step) for step in trajectory.steps]
    if step_by_step:
        return [found[0] if found else Event(kind="answer", ok=False) for found in by_step]
    return [event for found in by_step for event in found]


def _events_of(step: Step) -> list[Event]:
    winner = step.winner
    outcome = winner.outcome if winner else None
    if winner is None or outcome is None:
        return [Event(kind="answer", ok=False)]
    found = [
        Event(kind="call", name=call.name, arguments=call.arguments, ok=winner.ok)
        for call in outcome.tool_calls
        if call.name != "final_answer"
    ]
    if outcome.final_answer is not None:
        found.append(Event(kind="answer", ok=winner.ok))
    if not found and not winner.ok:  # a turn that failed before it did anything is a turn
        found.append(Event(kind="answer", ok=False))
    return found


def _step_counts(
    item: Item, trajectory: Trajectory, replay: Replay, step_by_step: bool
) -> dict[str, int]:
    counts = dict(turns=len(item.turns), inst=0, tool_hits=0, arg_hits=0)
    counts["gold_calls"] = len(item.calls)
    for mine, gold in zip(events(trajectory, step_by_step), item.turns, strict=False):
        kind = "call" if gold.call is not None else "answer"
        counts["inst"] += mine.kind == kind and mine.ok
        if gold.call is not None and mine.kind == "call" and mine.name == gold.call.name:
            counts["tool_hits"] += 1
            match = replay.find(mine.name, mine.arguments)
            counts["arg_hits"] += match.distance == 0 and match.call == gold.call
    return counts


def _family_counts(item: Item, trajectory: Trajectory) -> dict[str, dict[str, int]]:
    mine = [call.name for call in _calls(trajectory)]
    gold = [call.name for call in item.calls]
    return {
        "called": _by_family(mine),
        "wanted": _by_family(gold),
        "found": _by_family([name for name in gold if name in mine]),
    }


def _by_family(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(FAMILIES[name] for name in names if name in FAMILIES))


def figures(scores: Sequence[GTAScore], own_names: bool, seed: int = 0) -> dict[str, Any]:
    """What a row says of GTA.

    Args:
        scores: One an item.
        own_names: Whether the agent had GTA's own tools: without them the step metrics and the F1
            figures, which go by the tools' names, are ``None``.
        seed: Of the bootstrap.
    """
    row: dict[str, Any] = {"answers": {p: _answers(scores, p) for p in PROTOCOLS}}
    similar = [s.similarity for s in scores if s.similarity is not None]
    row["sentences"] = {
        "n": sum(s.kind == "sentences" for s in scores),
        "scored": len(similar),
        "similarity": sum(similar) / len(similar) if similar else None,
    }
    row["pictures_unscored"] = sum(s.kind == "picture" for s in scores)
    row |= _step_metrics(scores, seed) if own_names else dict.fromkeys(STEP_METRICS)
    row |= _f1(scores) if own_names else dict.fromkeys(F1)
    replayed = sum((Counter(s.replayed) for s in scores), Counter[str]())
    if replayed and (own_names or replayed.keys() != {"unrecorded"}):
        nearest = replayed["nearest"]
        distance = sum(s.distance for s in scores)
        row["replay"] = {**replayed, "mean_distance": distance / nearest if nearest else None}
        row["unrecorded_items"] = [s.task for s in scores if s.replayed.get("unrecorded")]
    return row


STEP_METRICS = ("gta_inst_acc", "gta_tool_acc", "gta_arg_acc", "gta_summ_acc")
F1 = ("gta_p_f1", "gta_o_f1", "gta_l_f1", "gta_c_f1")


def _answers(scores: Sequence[GTAScore], protocol: Protocol) -> dict[str, Any]:
    found = [s.others.get(protocol, s.answer) for s in scores if s.kind == "text"]
    right = sum(bool(f) for f in found)
    return {
        "right": right,
        "n": len(found),
        "ans_acc": right / len(found) if found else None,
        "ans_acc_ci": wilson(right, len(found)) if found else None,
    }


def _step_metrics(scores: Sequence[GTAScore], seed: int) -> dict[str, Any]:
    calls = sum(s.gold_calls for s in scores)
    official = [
        s.similarity if s.kind == "sentences" else s.others.get("gta", s.answer)
        for s in scores
        if s.kind != "picture"
    ]
    summed = [float(value) for value in official if value is not None]
    row = {
        "gta_inst_acc": _share(sum(s.inst for s in scores), sum(s.turns for s in scores)),
        "gta_tool_acc": _share(sum(s.tool_hits for s in scores), calls),
        "gta_arg_acc": _share(sum(s.arg_hits for s in scores), calls),
        "gta_summ_acc": _share(sum(summed), len(summed)),
    }
    counts = {
        "gta_turns": sum(s.turns for s in scores),
        "gta_inst_hits": sum(s.inst for s in scores),
        "gta_calls": calls,
        "gta_tool_hits": sum(s.tool_hits for s in scores),
        "gta_arg_hits": sum(s.arg_hits for s in scores),
        "gta_summ_n": len(summed),
    }
    # Turns of one item hang together: the intervals are drawn over items.
    per_item = {
        "gta_inst_acc_ci": [(s.inst, s.turns) for s in scores if s.turns],
        "gta_tool_acc_ci": [(s.tool_hits, s.gold_calls) for s in scores if s.gold_calls],
        "gta_arg_acc_ci": [(s.arg_hits, s.gold_calls) for s in scores if s.gold_calls],
    }
    drawn = {k: _drawn(pairs, seed) if pairs else None for k, pairs in per_item.items()}
    drawn["gta_summ_acc_ci"] = bootstrap_mean(summed, seed) if summed else None
    return {**row, **counts, **drawn}


def _drawn(pairs: Sequence[tuple[float, float]], seed: int) -> tuple[float, float]:
    return bootstrap_ratio([part for part, _ in pairs], [whole for _, whole in pairs], seed)


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _f1(scores: Sequence[GTAScore]) -> dict[str, float | None]:
    row: dict[str, float | None] = {}
    for family in ("perception", "operation", "logic", "creativity"):

        def total(counts: Sequence[Mapping[str, int]], family: str = family) -> int:
            return sum(c.get(family, 0) for c in counts)

        called, wanted = total([s.called for s in scores]), total([s.wanted for s in scores])
        found = total([s.found for s in scores])
        precision = found / (called + _TINY)
        recall = found / wanted if wanted else None
        key = f"gta_{family[0]}_f1"
        row[key] = None if recall is None else 2 * precision * recall / (precision + recall + _TINY)
    return row
