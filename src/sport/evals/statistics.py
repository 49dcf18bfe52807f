"""Intervals and tests: what may be said of a figure measured on a few hundred tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959963984540054
_DRAWS = 10_000
_CHUNK = 4_000_000  # random indices held at once: bounds the memory of a bootstrap at 32 MB


class Difference(NamedTuple):
    """A paired difference of means with its 95 % interval."""

    diff: float
    lo: float
    hi: float


def bootstrap_ratio(
    parts: Sequence[float], wholes: Sequence[float], seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of ``sum(parts) / sum(wholes)``, drawn over items.

    Args:
        parts: One an item.
        wholes: One an item; none is 0.
        seed: Of the draws.
    """
    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    rng, found, rows = np.random.default_rng(seed), [], max(1, _CHUNK // part.size)
    for start in range(0, _DRAWS, rows):
        drawn = rng.integers(0, part.size, (min(rows, _DRAWS - start), part.size))
        found.append(part[drawn].sum(axis=1) / whole[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return float(low), float(high)


def wilson(k: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share ``k / n``.

    Args:
        k: Successes, 0 to ``n``; a mean where trials were repeated.
        n: Trials. Without any, nothing is known: the interval is (0, 1).

    Returns:
        Lower and upper end, fractions in [0, 1].

    Raises:
        ValueError: If ``k`` is not in 0..n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"wilson: k={k} of n={n} is not a share; give 0 <= k <= n")
    if n == 0:
        return 0.0, 1.0
    share, z2 = k / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the formula is exact in real numbers but not in floating point.
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean over tasks.

    It has no width where all values are equal: it describes the spread among these tasks.

    Args:
        values: One a task; at least one.
        seed: Of the resampling; the same seed gives the same interval.
    """
    _, lo, hi = _bootstrap(np.asarray(values, dtype=np.float64), seed)
    return lo, hi


def paired_bootstrap(before: Sequence[float], after: Sequence[float], seed: int = 0) -> Difference:
    """The mean of ``after - before`` over the same tasks, with a 95 % bootstrap interval.

    Args:
        before: One value a task.
        after: One value a task, in the same order.
        seed: Of the resampling.

    Raises:
        ValueError: If the lengths differ or nothing is given.
    """
    if len(before) != len(after):
        raise ValueError(
            f"paired_bootstrap: {len(before)} values against {len(after)}; "
            "give one of each for every task, in the same order"
        )
    return _bootstrap(np.asarray(after, np.float64) - np.asarray(before, np.float64), seed)


def mcnemar_exact(before: Sequence[bool], after: Sequence[bool]) -> float:
    """Two-sided exact McNemar test: could as many answers have turned right by chance?

    Args:
        before: Whether each task's answer was right.
        after: The same tasks, in the same order.

    Returns:
        The p value: of the tasks that changed, a fair coin for each.
    """
    changed = [b for a, b in zip(before, after, strict=True) if a != b]
    n, k = len(changed), min(sum(changed), len(changed) - sum(changed))
    # Integers: 2 to the n leaves the range of floats at n = 1024.
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / (1 << n))


def _bootstrap(values: NDArray[np.float64], seed: int) -> Difference:
    if values.size == 0:
        raise ValueError("bootstrap: no values; give at least one task")
    rng, means = np.random.default_rng(seed), []
    rows = max(1, _CHUNK // values.size)
    for start in range(0, _DRAWS, rows):
        shape = (min(rows, _DRAWS - start), values.size)
        means.append(values[rng.integers(0, values.size, shape)].mean(axis=1))
    lo, hi = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(float(values.mean()), float(lo), float(hi))
