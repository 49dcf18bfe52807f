"""What preference pairs look like to the model: how long they are, and how far they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from rapidfuzz.distance import Indel

from sport.policy.encode import action_ids, encode
from sport.policy.messages import history
from sport.tune.pairs import owners_of
from sport.types import PreferencePair, Trajectory

Summary = dict[str, float]


def pair_report(
    processor: Any,
    trajectories: Sequence[Trajectory],
    pairs: Sequence[PreferencePair],
    reasons: Counter[str],
) -> dict[str, Any]:
    """Figures of some pairs, as JSON.

    Args:
        processor: Whose tokens are counted.
        trajectories: What the pairs come from.
        pairs: The pairs.
        reasons: What became of the candidates, as :func:`sport.tune.pairs.build_pairs` tells.

    Returns:
        ``reasons``; and ``mean``, ``median`` and ``max`` of the tokens of ``history``, ``chosen``
        and ``rejected``, and of ``overlap``: the share of tokens that chosen and rejected have in
        common, in order.
    """
    owners = owners_of(trajectories)
    found: dict[str, list[float]] = {k: [] for k in ("history", "chosen", "rejected", "overlap")}
    for pair in pairs:
        owner = owners[pair.task_id, pair.round]
        step = owner.steps[pair.step]
        chat = encode(processor, history(owner.opening, owner.steps[: pair.step]))
        chosen = action_ids(processor, step.candidates[pair.chosen].action.text)
        rejected = action_ids(processor, step.candidates[pair.rejected].action.text)
        found["history"].append(len(chat.ids))
        found["chosen"].append(len(chosen))
        found["rejected"].append(len(rejected))
        found["overlap"].append(Indel.normalized_similarity(chosen, rejected))
    figures = {name: _summary(values) for name, values in found.items() if values}
    return {"pairs": len(pairs), "reasons": dict(reasons.most_common()), **figures}


def in_words(report: dict[str, Any]) -> str:
    """The report in one line."""
    fates = ", ".join(f"{n} {reason}" for reason, n in report["reasons"].items())
    line = f"{report['pairs']} preference pairs ({fates or 'no choices'})"
    if not report["pairs"]:
        return line
    sizes = ", ".join(f"{k} {report[k]['mean']:.0f}" for k in ("history", "chosen", "rejected"))
    return f"{line}; mean tokens: {sizes}; mean overlap {report['overlap']['mean']:.0%}"


def _summary(values: Sequence[float]) -> Summary:
    return {
        "mean": round(mean(values), 4),
        "median": round(median(values), 4),
        "max": round(max(values), 4),
    }
