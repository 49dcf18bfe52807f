"""The served viewer, asked as a browser or an attacker would."""

import json
import re
import shutil
from pathlib import Path

import pytest

from made_run import HOSTILE
from sport.store import Run
from view.conftest import make_run

PATHS = ("/", "/r/demo", "/r/demo/trajectories", "/r/demo/compare", "/r/demo/label")


def first_key(demo, place="explore-1"):
    _, page = demo.ask(f"/r/demo/trajectories?place={place}")
    return re.search(r"/r/demo/t/([0-9a-f]{16})", page)[1]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_answers_and_allows_no_foreign_script(demo, path):
    status, page = demo.ask(path)
    assert status == 200 and "<main" in page
    policy = demo.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=\"/static/)|<style|\sstyle=|\son\w+=", page)


def test_a_trajectory_shows_its_candidates_verdict_and_what_became_pairs(demo):
    _, page = demo.ask(f"/r/demo/t/{first_key(demo)}")
    assert page.count("<article") == 6
    assert "it reads" in page
    assert "chosen in 2 pairs" in page and "rejected in a pair" in page
    assert "no pair: unparsed" in page and "no pair: no verdict" in page
    assert "differences from the chosen" in page


def test_a_runs_page_counts_what_was_kept_and_dropped_as_a_whole(tmp_path, serving):
    run = make_run(tmp_path / "run")
    rows = [
        {"task": "a", "opinion": {"keep": True, "reason": "kept"}},
        {"task": "b", "opinion": {"keep": False, "reason": "no answer", "detail": "failed"}},
        {"task": "c", "opinion": {"keep": False, "reason": "no answer"}},
    ]
    torn = '{"task": "d", "opi'
    run.kept_file(1).write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)
    _, page = serving(tmp_path / "run").ask("/r/run")
    assert "<b>2</b> dropped: no answer" in page and "<b>1</b> kept" in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 10), ("q=boxes", 1), ("q=nothing+like+it", 0), ("flag=abstained", 1),
        ("flag=wrong&place=eval-0-test", 2), ("tool=ocr", 1), ("error=NameError", 1),
        ("error=unparsed&q=boxe", 1), ("flag=right&place=eval-1-test", 2), ("flag=disagreed", 0),
    ],
)  # fmt: skip
def test_trajectories_are_found_by_text_and_by_what_happened(demo, query, count):
    assert f"{count} found" in demo.ask(f"/r/demo/trajectories?{query}")[1]


@pytest.mark.parametrize("q", ['"', "a OR", "NEAR(", "*", "text:x", "') --", "%00", "\u202e"])
def test_whatever_is_searched_for_is_only_words(demo, q):
    from urllib.parse import quote

    assert demo.ask(f"/r/demo/trajectories?q={quote(q)}")[0] == 200


def test_next_stays_within_what_was_found(demo):
    key = first_key(demo, "eval-0-test")
    _, page = demo.ask(f"/r/demo/t/{key}?place=eval-0-test&flag=wrong")
    after = re.search(r'data-next href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert "place=eval-0-test" in after and "flag=wrong" in after
    assert "wrong" in demo.ask(after)[1]


def test_a_comparison_tells_gained_from_lost(demo):
    _, page = demo.ask("/r/demo/compare?before=demo/eval-0-test&after=demo/eval-1-test&show=gained")
    assert "3 tasks in both: 1 right in both, 1 gained, 0 lost, 1 wrong in both" in page
    task = re.search(r'href="(/r/demo/compare\?[^"]*task=[^"]*)"', page)[1].replace("&amp;", "&")
    assert demo.ask(task)[1].count("<section") == 2


def test_pictures_come_by_their_content_alone(demo):
    page = demo.ask(f"/r/demo/t/{first_key(demo)}")[1]
    address = re.search(r'<img src="(/blob/demo/[0-9a-f]{64})"', page)[1]
    assert demo.ask(address)[0] == 200
    assert demo.headers["content-type"] == "image/png" and "nosniff" in str(demo.headers)
    assert demo.ask(address[:-1] + ("0" if address[-1] != "0" else "1"))[0] == 404


def test_what_is_no_picture_is_not_served(tmp_path, serving):
    run = make_run(tmp_path / "demo")
    script = run.blobs.put(b"<svg onload='alert(1)'/>", "x.svg", "image/svg+xml")
    assert serving(tmp_path).ask(f"/blob/demo/{script.sha256}")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../config.toml", "/static/..%2f..%2fetc/passwd", "/blob/demo/../../config.toml",
        "/blob/demo/%2e%2e%2fconfig.toml", "/r/../demo", "/r/demo/t/..%252f..%252fx",
        "//etc/passwd",
        "/r/demo/t/%00", "/blob/demo/..\\..\\x", "/static/sport.py", "/r/none", "/r/demo/t/0000",
        "/blob/none/" + "0" * 64, "/docs", "/openapi.json", "/r/demo/compare?before=x&after=y",
    ],
)  # fmt: skip
def test_paths_lead_nowhere_else(demo, path):
    status, text = demo.ask(path)
    assert 400 <= status < 500 and "root:" not in text and "[synthesis]" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "evil.example:{port}"}, {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:{port}.evil.example"}, {"Origin": "http://evil.example"},
        {"Origin": "null"}, {"Origin": "https://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)  # fmt: skip
def test_requests_of_others_are_refused(demo, headers):
    sent = {name: value.replace("{port}", str(demo.port)) for name, value in headers.items()}
    for path in PATHS:
        assert 400 <= demo.ask(path, **sent)[0] < 500


def test_other_pages_cannot_label(tmp_path, serving):
    make_run(tmp_path / "demo")
    served = serving(tmp_path)
    page = served.ask("/r/demo/label?name=ann")[1]
    step = re.search(r'name="step" value="([^"]+)"', page)[1]
    body = f"name=ann&step={step}&choice=1"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for origin in ({}, {"Origin": "http://evil.example"}):
        assert served.ask("/r/demo/label", "POST", body, **form, **origin)[0] == 403
    assert not (tmp_path / "demo" / "agreement").exists()
    own = {"Origin": served.address}
    for wrong in (body[:-1] + "9", body[:-1], f"name=../x&step={step}&choice=1", "choice=1&name=a"):
        assert served.ask("/r/demo/label", "POST", wrong, **form, **own)[0] == 422
    assert served.ask("/r/demo/label", "POST", body, **form, **own)[0] == 303
    [row] = map(json.loads, (tmp_path / "demo/agreement/ann.jsonl").read_text().splitlines())
    assert row["choice"] == row["order"][0] and row["step"] == step.replace("&amp;", "&")


def test_labelling_is_blind(demo):
    page = demo.ask("/r/demo/label")[1]
    assert 'class="columns' in page and "it reads" not in page
    assert not re.search(r"class=\"column best|verdict\"|rubric|in a pair", page)


def test_hostile_text_is_only_text(tmp_path, serving):
    make_run(tmp_path / "demo", HOSTILE)
    served = serving(tmp_path)
    pages = [served.ask(path)[1] for path in PATHS]
    for key in set(re.findall(r"/r/demo/t/([0-9a-f]{16})", "".join(pages))):
        pages.append(served.ask(f"/r/demo/t/{key}")[1])
    for page in pages:
        page = re.sub(r'value="[^"]*"', "", page)  # a browser shows none of these
        assert "<script>" not in page and "<img src=x" not in page and "<svg onload" not in page
        assert "\u202e" not in page and "\x00" not in page
    assert any("&lt;script&gt;alert(1)" in page for page in pages)


def test_what_a_run_adds_is_read_alone_and_a_rewritten_file_anew(tmp_path):
    from sport.view.index import Index
    from sport.view.search import Filter, find

    run = make_run(tmp_path / "demo")
    file = run.path / "trajectories.jsonl"
    index, told = Index(run), []
    index.update(told.append)
    told.clear()
    [first] = run.trajectories()
    other = first.model_copy(update={"task": first.task.model_copy(update={"id": "second"})})
    Run.open(run.path).append(file, [other])
    index.update(told.append)
    assert told == [1] and index.digests()[1].funnel.tasks == 2
    file.write_text(other.model_dump_json() + "\n" + first.model_dump_json() + "\n")
    index.update()
    places = Filter(place="explore-1")
    assert [row["task"] for row in find(index, places).rows] == ["second", first.task.id]
    assert index.digests()[1].funnel.tasks == 2
    assert all(index.read(row).task.id == row["task"] for row in find(index, places).rows)


def test_a_torn_line_is_left_for_later(tmp_path):
    from sport.view.index import Index

    run = make_run(tmp_path / "demo")
    with (run.path / "trajectories.jsonl").open("a") as file:
        file.write('{"task": ')
    index = Index(run)
    index.update()
    assert index.digests()[1].funnel.tasks == 1


def test_a_copy_has_every_page_and_links_that_lead_somewhere(tmp_path):
    from sport.view.book import Book
    from sport.view.save import save

    make_run(tmp_path / "demo")
    book = Book([tmp_path / "demo"])
    book.update()
    first = save(book, tmp_path / "copy")
    shutil.rmtree(tmp_path / "demo")
    pages = list((tmp_path / "copy").rglob("*.html"))
    assert first in pages and len(pages) == 1 + 1 + 1 + 10 + 1 + 3
    for page in pages:
        for address in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text()):
            assert (page.parent / address).resolve().is_file(), (page, address)
            assert (page.parent / address).resolve().is_relative_to(tmp_path / "copy")


def test_a_copy_never_overwrites(tmp_path):
    from typer.testing import CliRunner

    from sport.cli import app

    make_run(tmp_path / "demo")
    result = CliRunner().invoke(app, ["view", str(tmp_path / "demo"), "--save", str(tmp_path)])
    assert result.exit_code == 1 and "not an empty folder" in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["view", str(Path(tmp_path) / "none")])
    assert result.exit_code == 1 and "Name a run's folder" in " ".join(result.output.split())
