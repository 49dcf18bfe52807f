"""What the documentation says of the gain is what the committed results say."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield __import__("pocket_tables")
    sys.modules.pop("pocket_tables")


def test_the_page_is_made_from_the_committed_results(tables, tmp_path: Path) -> None:
    gain, sweep = (
        json.loads((RESULTS / f"{name}.json").read_text())
        for name in ("pocket_gain", "pocket_sweep")
    )
    tables.write_page(gain, sweep, tmp_path / "page.md")
    assert (ROOT / "docs" / "evidence.md").read_text() == (tmp_path / "page.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/pocket.md"])
def test_the_headline_is_quoted_as_it_was_measured(tables, page: str) -> None:
    found = json.loads((RESULTS / "pocket_gain.json").read_text())
    text = " ".join((ROOT / page).read_text().split())
    assert tables.headline(found) in text


def test_the_packings_are_quoted_as_they_were_measured() -> None:
    found = json.loads((RESULTS / "pocket_packing.json").read_text())["differences"]
    text = " ".join((ROOT / "docs" / "tuning.md").read_text().split())

    def told(name: str, points: str) -> str:
        row = found[name]
        signed = "+" if points.startswith("+") else ""
        return f"{points.format(row['points'])} [{row['lo']:{signed}.1f}, {row['hi']:{signed}.1f}]"

    trees, sequences = told("gain, tree", "{:.1f} points"), told("gain, pairwise", "{:.1f}")
    assert f"round 1 gains {trees} by trees and {sequences} by whole sequences" in text
    assert f"the difference, paired, is {told('tree less pairwise', '+{:.1f}')} (" in text
