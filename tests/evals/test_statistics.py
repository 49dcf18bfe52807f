import math
import random

import pytest

from sport.evals.statistics import bootstrap_mean, mcnemar_exact, paired_bootstrap, wilson


def test_wilson_agrees_with_published_values():
    lo, hi = wilson(94, 156)  # AnsAcc 60.26 on GTA
    assert (round(lo, 4), round(hi, 4)) == (0.5242, 0.6760)
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)


def test_wilson_of_nothing_knows_nothing_and_nonsense_is_refused():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="k=5 of n=4"):
        wilson(5, 4)


def test_wilson_covers_the_truth_in_about_95_of_100():
    rng, covered = random.Random(0), 0
    for _ in range(1000):
        lo, hi = wilson(sum(rng.random() < 0.6 for _ in range(100)), 100)
        covered += lo <= 0.6 <= hi
    assert 930 <= covered <= 970


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    rng = random.Random(1)
    values = [rng.random() for _ in range(400)]
    mean, half = sum(values) / 400, 1.96 * math.sqrt(1 / 12 / 400)
    lo, hi = bootstrap_mean(values)
    assert lo == pytest.approx(mean - half, abs=0.004)
    assert hi == pytest.approx(mean + half, abs=0.004)
    assert (lo, hi) == bootstrap_mean(values)
    assert (lo, hi) != bootstrap_mean(values, seed=1)


def test_paired_bootstrap_uses_the_pairing():
    before = [float(i % 2) for i in range(200)]
    after = [min(1.0, b + 1.0) if i < 20 else b for i, b in enumerate(before)]
    diff, lo, hi = paired_bootstrap(before, after, seed=3)
    assert diff == pytest.approx(0.05)
    assert 0.01 < lo < 0.05 < hi < 0.09  # unpaired, it would be about +- 0.1


@pytest.mark.parametrize(("before", "after"), [([1.0], [1.0, 0.0]), ([], [])])
def test_paired_bootstrap_refuses_what_cannot_be_paired(before, after):
    with pytest.raises(ValueError):
        paired_bootstrap(before, after)


def test_mcnemar_is_the_binomial_test_on_the_changed_tasks():
    before = [False] * 8 + [True] * 2 + [True] * 50
    after = [True] * 8 + [False] * 2 + [True] * 50
    assert mcnemar_exact(before, after) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar_exact([True] * 5, [True] * 5) == 1.0
    assert mcnemar_exact([False] * 3000, [True] * 3000) == pytest.approx(0.0, abs=1e-300)
