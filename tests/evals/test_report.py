"""The report of a real run folder with a few hand-made trajectories in it."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from rich.console import Console

from made_run import HOSTILE, fill, single
from sport.evals.curve import curve_png, curve_svg
from sport.evals.funnel import count
from sport.evals.metrics import metric_row, score, summarise
from sport.evals.table import terminal_table
from sport.recipes import parse_recipe
from sport.store import Run
from sport.tune.config import PairConfig
from sport.view.report import write_report


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]


@pytest.fixture
def run(tmp_path):
    """An empty run."""
    recipe = parse_recipe({"name": "demo", "root": str(tmp_path), "synthesis": {}}, "demo.toml")
    with Run.create(tmp_path / "run", recipe) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A filled run whose report has been written; not to be changed."""
    folder = tmp_path_factory.mktemp("demo")
    recipe = parse_recipe({"name": "demo", "root": str(folder), "synthesis": {}}, "demo.toml")
    with Run.create(folder / "run", recipe) as opened:
        fill(opened)
        write_report(opened)
        yield opened


def test_the_report_shows_whether_the_picture_is_used(run):
    tests = fill(run)
    assert "Is the picture used?" not in write_report(run).read_text()
    done = [single(t, 4) for t in tests]
    row = metric_row(
        summarise([score(t, d) for t, d in zip(tests, done, strict=True)]), round=1,
        benchmark="pocket", split="test-blank", agent="code", policy="pocket+r1", samples=1,
        verifier="", seed=0, seconds=1.0,
    )  # fmt: skip
    run.add_metrics({**row, "probe": "blank"})
    page = write_report(run).read_text()
    assert "Is the picture used?" in page
    assert "<td>as it is</td>" in page and "<td>blank</td>" in page
    assert "test-blank" not in page, "a probe is no test of the agent"


@pytest.fixture(scope="module")
def page(demo):
    return (demo.path / "report.html").read_text()


def test_the_report_shows_curve_funnel_verifier_examples_and_failures(demo, page):
    assert "Learning curve" in page and "<svg" in page
    assert "66.7" in page and "+33.3" in page  # AnsAcc of round 1, and its gain
    assert "random verdicts" in page
    assert "Chosen against rejected" in page and "it reads" in page
    assert "verifier failed" in page and "NameError" in page and "unparsed" in page
    assert "The verifier against the oracle" in page
    assert "What still goes wrong" in page and "answered <b>5</b>, right is <b>4</b>" in page
    assert "starts weak by design" in page and "strong" in page
    with Image.open(demo.path / "report.png") as picture:
        assert picture.width > 1000


def test_pictures_are_inline_and_scaled(page):
    sources = [v for _, k, v in Tags(page).attributes if k == "src"]
    assert sources and all(s.startswith("data:image/jpeg;base64,") for s in sources)
    assert max(map(len, sources)) < 20_000


def test_text_of_models_and_datasets_cannot_become_part_of_the_page(run):
    fill(run, HOSTILE)
    page = write_report(run).read_text()
    tags = Tags(page)
    assert "script" not in tags.tags
    assert not [a for a in tags.attributes if a[1].startswith("on")]
    assert [v for _, k, v in tags.attributes if k == "src" and not v.startswith("data:")] == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "\u202e" not in page and "\\u202e" in page and "\x00" not in page
    [policy] = [v for _, k, v in tags.attributes if k == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_the_page_needs_no_network(page):
    attributes = Tags(page).attributes
    links = [v for _, k, v in attributes if k in ("href", "src", "xlink:href") and v]
    assert all(v.startswith(("data:", "#")) for v in links)
    assert not re.search(r"url\((?!#)|@import", page)


def test_a_run_without_figures_has_a_report_that_says_so(run):
    assert "Nothing has been evaluated yet" in write_report(run).read_text()
    assert not (run.path / "report.png").exists()


def test_an_evaluation_in_progress_does_not_break_the_report(run):
    tests = fill(run)
    file = run.evaluation_file(1, "test")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert "What still goes wrong" not in write_report(run).read_text()
    assert len(tests) == 3


def test_a_broken_picture_is_left_out(run):
    tests = fill(run)
    tests[0].files[0].path.chmod(0o644)
    tests[0].files[0].path.write_bytes(b"no picture")
    page = write_report(run).read_text()
    assert "Chosen against rejected" in page and "data:image" not in page


def test_equal_runs_have_equal_reports(demo, page):
    assert write_report(demo).read_text() == page
    assert not list(demo.path.glob("*.part"))


def test_verifier_judged_figures_are_marked(run):
    fill(run)
    rows = run.metrics()
    rows[-1]["preference"] = {
        "n": 3, "wins": 2, "losses": 1, "ties": 0, "undecided": 0, "share": 2 / 3, "lo": 0.2,
        "hi": 0.94, "verifier": "rubric",
    }  # fmt: skip
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert "preferred to round 0 (verifier-judged)" in write_report(run).read_text()
    assert "verifier-judged" in printed(rows, 160)


def test_tasks_without_answers_have_a_curve_of_what_can_be_measured(demo):
    rows = [{**r, "ans_acc": None, "ans_acc_ci": None, "gain": None} for r in demo.metrics()]
    svg = curve_svg(rows)
    assert "AnsAcc" not in svg and "CodeExec" in svg
    nothing = [{**r, "tool_acc": None, "code_exec": None} for r in rows]
    assert curve_svg(nothing) and curve_png(nothing)


def printed(rows, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal_table(rows))
    return console.export_text()


def test_the_terminal_table_has_every_row_with_intervals(demo):
    wide, narrow = printed(demo.metrics(), 140), printed(demo.metrics(), 80)
    assert re.search(r"round 0 +3 +33\.3 \[6\.1,79\.2\]", wide)
    assert re.search(r"round 1 · random verdicts", wide)
    assert "+33.3" in wide and "pocket · test" in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_d6_best_of_n_is_never_shown_as_a_single_sample(demo):
    best = {**demo.metrics()[-1], "samples": 5, "verifier": "rubric"}
    assert "best of 5 by rubric" in printed([*demo.metrics(), best], 160)


def test_the_funnel_accounts_for_every_candidate(demo):
    funnel = count(demo.trajectories(), PairConfig())
    assert (funnel.tasks, funnel.steps, funnel.candidates, funnel.judged) == (1, 2, 6, 1)
    assert funnel.pairs + sum(funnel.dropped.values()) == funnel.candidates - funnel.judged
    assert funnel.dropped["no verdict"] == 2 and funnel.dropped["unparsed"] == 1
    assert funnel.abstained == {"verifier failed": 1}
    assert sum(funnel.statuses.values()) == 6
