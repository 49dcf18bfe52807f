"""`sport report` over evaluations: the paper's table with measured rows in it."""

import csv
import io
import tomllib
from html.parser import HTMLParser
from pathlib import Path

from typer.testing import CliRunner

from sport.cli import app
from sport.evals.gta.metrics import GTAScore, figures
from sport.evals.metrics import metric_row, summarise
from sport.evals.published import FILE, published_rows
from sport.evals.statistics import wilson
from sport.recipes import parse_recipe
from sport.store import Run

# As the table is printed (arXiv 2504.21561), a second time: ToolAcc, CodeExec, AnsAcc, L1-L3, GAIA.
PRINTED = """
Lego Agent|GPT-4|–|–|46.59||||
Lego Agent|GPT-4o|–|–|41.52||||
Warm-up Agent|GPT-4-turbo|–|–|–|30.20|15.10|0.00|17.60
HF Agent|GPT-4o|63.41|95.12|57.05|47.17|31.40|11.54|33.40
HF Agent|GPT-4o-mini|56.10|100.00|57.69|33.96|27.91|3.84|26.06
HF Agent|LLaVA-NeXT-8B|14.97|25.08|14.10|9.43|1.16|0.00|3.64
HF Agent|InternVL2-8B|36.75|52.18|32.05|7.55|4.65|0.00|4.85
HF Agent|MiniCPM-V-8.5B|36.59|56.10|33.97|13.21|5.81|0.00|7.27
HF Agent|Qwen2-VL-7B|44.85|65.19|42.31|16.98|8.14|0.00|9.70
T3-Agent|MAT-MiniCPM-V-8.5B|65.85|80.49|52.56|26.42|11.63|3.84|15.15
T3-Agent|MAT-Qwen2-VL-7B|64.63|84.32|53.85|26.42|15.12|3.84|16.97
SPORT Agent|Tuned-Qwen2-VL-7B|72.41|91.87|60.26|35.85|16.28|3.84|20.61
MATRIX (successor)|Qwen2-VL-7B|||65.38|29.15|19.28|6.84|21.47
"""


def gta_run(folder: Path, right: int, policy: str, n: int = 156) -> Path:
    """An evaluation on GTA, of which so many answers are right, the first ones."""
    recipe = parse_recipe(
        {"rounds": 0, "benchmark": {"name": "gta", "data": "x"}, "root": str(folder)}, "test"
    )
    scores = [
        GTAScore(
            answer=i < right, tool_acc=0.5, code_exec=1.0, steps=2, kind="text", task=str(i),
            others={"gta": i < right - 4, "mat": i < right},
            reason="" if i < right else "wrong tool",
        )
        for i in range(n)
    ]  # fmt: skip
    with Run.create(folder, recipe) as run:
        run.write_scores(run.evaluation_file(0, "test"), scores)
        row = metric_row(
            summarise(scores), round=0, benchmark="gta", split="test", agent="code",
            policy=policy, samples=1, verifier="", seed=0, seconds=1.0,
        )  # fmt: skip
        run.add_metrics({**row, "scorer": "sport", **figures(scores, False)})
    return folder


def gaia_run(folder: Path, rights: tuple[int, int, int], policy: str) -> Path:
    recipe = parse_recipe(
        {"rounds": 0, "benchmark": {"name": "gaia", "data": "x"}, "root": str(folder)}, "test"
    )
    levels = {
        f"L{i + 1}": {"right": k, "n": n, "ans_acc": k / n, "ans_acc_ci": wilson(k, n)}
        for i, (k, n) in enumerate(zip(rights, (53, 86, 26), strict=True))
    }
    with Run.create(folder, recipe) as run:
        row = metric_row(
            summarise([]), round=0, benchmark="gaia", split="validation", agent="code",
            policy=policy, samples=1, verifier="", seed=0, seconds=1.0,
        )  # fmt: skip
        run.add_metrics({**row, "levels": levels})
    return folder


def report(*runs: Path, out: Path) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, runs), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return result.output


def test_published_rows_are_verbatim() -> None:
    wanted = [line.split("|") for line in PRINTED.strip().splitlines()]
    keys = ("tool_acc", "code_exec", "ans_acc", "l1", "l2", "l3", "gaia")
    found = [
        [r.agent, r.controller, *(r.figures.get(k, "") for k in keys)] for r in published_rows()
    ]
    assert found == wanted


def test_every_published_row_that_can_be_is_a_recipe() -> None:
    from sport.evals.setup import evaluation_recipe

    for row in published_rows()[:-1]:
        recipe = evaluation_recipe("", {"name": "gta", "data": "x", "like": row.name})
        assert recipe.agent == row.setup["agent"] and recipe.policy.model
        assert recipe.explore.max_steps == 8 and recipe.explore.max_errors == 5
    assert len(tomllib.loads(FILE.read_text())["rows"]) == 13


def test_the_papers_table_is_rebuilt_from_result_files(tmp_path: Path) -> None:
    gta = gta_run(tmp_path / "gta", 94, "mine+r1")
    gaia = gaia_run(tmp_path / "gaia", (19, 14, 1), "mine+r1")
    text = report(gta, gaia, out=tmp_path / "out")
    lines = [line for line in text.splitlines() if line.startswith("| published")]
    assert len(lines) == 13 and "| 72.41 | 91.87 | 60.26 | 35.85 | 16.28 | 3.84 | 20.61 |" in text
    [mine] = [line for line in text.splitlines() if line.startswith("| measured")]
    assert "60.26 (94/156) [52.42, 67.60]" in mine
    for cell in ("35.85 (19/53)", "16.28 (14/86)", "3.85 (1/26)", "20.61 (34/165)"):
        assert cell in mine
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/table.csv").read_text())))
    [answer] = [r for r in rows if r["source"] == "measured" and r["column"] == "AnsAcc"]
    assert (answer["percent"], answer["right"], answer["n"]) == ("60.26", "94", "156")
    assert {r["printed"] for r in rows if r["controller"] == "GPT-4"} == {"–", "46.59"}
    assert (tmp_path / "out/table.md").read_text().strip() in text.replace("\r", "")


def test_two_runs_of_the_same_items_are_compared_item_by_item(tmp_path: Path) -> None:
    before = gta_run(tmp_path / "a", 84, "mine")
    after = gta_run(tmp_path / "b", 94, "mine+r1")
    shorter = gta_run(tmp_path / "c", 10, "mine+r2", n=20)
    text = report(before, after, shorter, out=tmp_path / "out")
    [paired] = [line for line in text.splitlines() if "AnsAcc | 156 |" in line]
    assert "| +6.41 [+" in paired
    assert paired.endswith("| 0.00195 |"), "ten of ten changed for the better: 2 / 2^10"
    assert "AnsAcc | 20 |" not in text, "other items are never compared"
    assert "| wrong tool | 62 |" in text, "why wrong answers are wrong, with counts"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_the_page_has_a_plot_and_takes_no_text_for_markup(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|x"
    run = gta_run(tmp_path / "gta", 94, hostile)
    text = report(run, out=tmp_path / "out")
    page = (tmp_path / "out/table.html").read_text()
    tags = Tags(page)
    assert "svg" in tags.tags and "script" not in tags.tags
    assert "&lt;script&gt;" in page and "default-src 'none'" in page
    assert "\\|x" in text and "\\<script" in text


def test_a_formula_is_no_name_in_the_csv(tmp_path: Path) -> None:
    report(gta_run(tmp_path / "gta", 94, "=1+1"), out=tmp_path / "out")
    assert "'=1+1" in (tmp_path / "out/table.csv").read_text()


def test_runs_without_figures_say_so(tmp_path: Path) -> None:
    recipe = parse_recipe(
        {"rounds": 0, "benchmark": {"name": "gta", "data": "x"}, "root": str(tmp_path)}, "test"
    )
    Run.create(tmp_path / "run", recipe).close()
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert result.exit_code != 0 and "nothing has been evaluated yet" in result.output
