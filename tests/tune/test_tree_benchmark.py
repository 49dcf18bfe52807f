"""The table of docs/tuning.md is what the committed results of the benchmark say."""

import sys
from pathlib import Path

import pytest

import sport

ROOT = Path(sport.__file__).parents[2]


def test_the_page_tells_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import tree_dpo

    copy = tmp_path / "tuning.md"
    copy.write_text(tree_dpo.PAGE.read_text())
    tree_dpo.write_page(tree_dpo.recorded(), copy)
    assert copy.read_text() == tree_dpo.PAGE.read_text(), "run benchmarks/tree_dpo.py --page"


def test_a_setting_that_was_stopped_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the leanest counts for memory, though it was stopped."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import tree_dpo

    def row(cpu: float, grown: float, finished: bool = True) -> dict[str, object]:
        return {"finished": finished, "cpu_s": cpu, "grown_mb": grown, "tokens": 1000}

    rows = {"tree": row(2, 200), "tree-gc": row(3, 100), "pairwise": row(20, 900, False)}
    rows |= {"trl-b1": row(40, 800), "trl-b1-gc-lean": row(60, 500, False)}
    found = tree_dpo.ratios_of(rows)
    assert found["ratio_trl_cpu"] == 20 and not found["ratio_trl_cpu_is_bound"]
    assert found["ratio_trl_memory"] == 5 and found["ratio_trl_memory_is_bound"]
    assert "| 20.0 | ≥ 10.0 | ≥ 5.0 | 1.0 |" in tree_dpo.as_table({"case": found})
