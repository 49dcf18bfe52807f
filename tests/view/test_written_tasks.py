"""The page of the tasks that a model made, the report's section, and the static copy."""

import re
from html import unescape
from pathlib import Path

import pytest

from made_run import HOSTILE
from sport.types import File
from sport.view.book import Book
from sport.view.report import write_report
from sport.view.save import save
from sport.view.tasks import saved_as
from view.conftest import make_run
from view.drafted import DOCUMENT, DROPPED, KEPT_DRAFTS, write_drafts

PAGE = "/r/demo/tasks"


def queries(page: str) -> list[str]:
    """What the cards of a page ask, in their order."""
    return re.findall(r'<div class="query">([^<]*)</div>', page)


def links(page: str, pattern: str) -> list[str]:
    return [unescape(link) for link in re.findall(rf'href="({pattern})"', page)]


@pytest.fixture
def written(tmp_path, serving):
    """A served run with tasks of a first round, of a second, and held out."""
    run = make_run(tmp_path / "demo")
    for name in ("round-2", "held-out", "round-1"):
        write_drafts(run, name)
    return serving(tmp_path)


def test_figures_stand_at_the_top_with_costs_per_kept_task(written):
    _, page = written.ask(f"{PAGE}?of=round-1")
    assert not re.search(r"<script(?![^>]*src=\"/static/)|<style|\sstyle=|\son\w+=", page)
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert f"kept {KEPT_DRAFTS} of {KEPT_DRAFTS} wanted 1 of them rewritten" in words
    assert f"dropped {sum(DROPPED.values())} " in words and "1 good, and more than" in words
    assert "near-duplicate 21" in words and "objectlocation + ocr 23" in words
    assert "photo 23 spreadsheet 1" in words and "found 23 made 1" in words
    assert "0.71 at the median" in words and "1 picture used 23 times." in words
    assert "tokens per kept task 300 " in words and "synthesis check writer 1 2,400 1,200" in words
    assert "wanted alike" in words
    assert re.search(r"seeds 4\.5 4–5 0\.89 1\.00", words)
    _, second = written.ask(PAGE)
    assert "Tasks, round 2" in second and "wanted alike" not in second
    assert re.search(r"<td>ocr</td>.*>10<.*>5<.*>50\.0<.*>1\.00<", second)
    assert links(second, r"/r/demo/tasks\?of=held-out")


def test_twenty_are_drawn_and_others_are_others(written):
    _, page = written.ask(PAGE)
    first = queries(page)
    assert len(set(first)) == 20 and queries(written.ask(PAGE)[1]) == first
    [others] = links(page, r"/r/demo/tasks\?of=round-2&amp;draw=1#drafts")
    second = queries(written.ask(others.partition("#")[0])[1])
    assert len({*first, *second}) == KEPT_DRAFTS and len(set(second)) == 20


def test_every_fate_is_a_link_to_its_drafts_with_details(written):
    _, page = written.ask(PAGE)
    for fate, count in DROPPED.items():
        [link] = {a for a in links(page, r"[^\"]*fate=[^\"]*") if fate[:8] in a.replace("+", " ")}
        _, found = written.ask(link.partition("#")[0])
        assert f"{count} found: {fate}" in found and len(queries(found)) == min(count, 20)
        assert "it was so" in found and "wanted: a chart of rain" in found
    _, rest = written.ask(f"{PAGE}?of=round-2&fate=near-duplicate&first=20")
    assert len(queries(rest)) == 1 and 'data-previous href="/r/demo/tasks?' in rest


@pytest.mark.parametrize(
    ("query", "count"),
    [("q=number+90", 1), ("q=sales+rate", 1), ("q=RAIN", 23), ("q=rain&fate=not+solvable", 1),
     ("q=telephone", 0), ("q=%28", 0), ("fate=kept", 24), ("fate=none", 0)],
)  # fmt: skip
def test_drafts_are_found_by_their_words(written, query, count):
    assert f"{count} found" in written.ask(f"{PAGE}?of=round-1&{query}")[1]


def test_a_card_says_where_its_files_come_from_and_what_was_thought_of_it(written):
    _, page = written.ask(f"{PAGE}?q=number+90")
    assert "before rewriting:</span> What does the table say?" in page
    assert "the rate of May" in page and "spreadsheet, made" in page and "sales by month" in page
    assert page.index("needs no tool</span>") < page.index('good">good</span>')
    [document] = links(page, r"/file/demo/[0-9a-f]{64}")
    assert written.ask(document) == (200, DOCUMENT.decode())
    assert written.headers["content-disposition"] == 'attachment; filename="table.xlsx"'
    assert written.headers["content-type"] == "application/octet-stream"
    _, page = written.ask(f"{PAGE}?q=number+7")
    assert "photo, found, similarity 0.71" in page and "cups.jpg" in page
    assert re.search(r'<a href="(/blob/demo/\w{64})"><img src="\1"', page)


def test_only_files_of_drafts_are_given_away(tmp_path, serving):
    run = make_run(tmp_path / "demo")
    write_drafts(run, text=".html\r\nX-Evil: 1")
    other = run.blobs.put(b"of something else", "x.txt", "text/plain")
    served = serving(tmp_path)
    assert served.ask(f"/file/demo/{other.sha256}")[0] == 404
    [document] = links(served.ask(f"{PAGE}?q=number+90")[1], r"/file/demo/[0-9a-f]{64}")
    assert served.ask(document)[0] == 200 and "X-Evil" not in served.headers
    assert served.headers["content-disposition"] == (
        'attachment; filename="table_html_X-Evil_1.xlsx"'
    )
    (run.blobs.folder / document[-64:-62] / document[-64:]).write_bytes(b"changed")
    assert served.ask(document)[0] == 503


@pytest.mark.parametrize(
    ("name", "saved"),
    [("sales 2024.XLSX", "sales_2024.xlsx"), ("a.html", "a.bin"), ("../../x.svg", "x.bin"),
     ("run.pdf.exe", "run_pdf.bin"), ('a".txt', "a_.txt"), ("plain", "plain.bin")],
)  # fmt: skip
def test_nothing_is_saved_under_a_name_that_runs(name, saved):
    assert saved_as(File(name=name, sha256="0" * 64, media_type="")) == saved


def test_what_is_not_there_is_not_found(written, demo):
    for path in (f"{PAGE}?of=round-9", f"{PAGE}?of=../x", "/file/demo/" + "0" * 64):
        assert written.ask(path)[0] == 404
    assert demo.ask(PAGE)[0] == 404 and "/tasks" not in demo.ask("/r/demo")[1]
    assert 'href="/r/demo/tasks"' in written.ask("/r/demo")[1]


def test_drafts_that_cannot_be_read_are_told_of(tmp_path, serving):
    run = make_run(tmp_path / "demo")
    write_drafts(run)
    served = serving(tmp_path)
    assert served.ask(PAGE)[0] == 200
    (run.path / "synthesis" / "round-1-drafts.jsonl").write_text('{"id": 1}\n')
    status, said = served.ask(PAGE)
    assert status == 503 and "round-1-* cannot be read" in said


def test_hostile_drafts_are_only_text(tmp_path, serving):
    run = make_run(tmp_path / "demo")
    write_drafts(run, "round-2", HOSTILE)
    served = serving(tmp_path)
    pages = [served.ask(PAGE)[1], write_report(run).read_text()]
    for link in links(pages[0], r"/r/demo/tasks\?[^\"]*fate=[^\"]*"):
        status, page = served.ask(link.partition("#")[0])
        assert status == 200 and queries(page)
        pages.append(page)
    assert len(pages) > 5
    for page in pages:
        body = re.sub(r'value="[^"]*"|<style>.*?</style>', "", page, flags=re.S)
        assert "<script>" not in body and "<img src=x" not in body and "<svg onload" not in body
        assert "\u202e" not in body and "\x00" not in body
        assert "&lt;script&gt;alert(1)" in body


def test_the_report_has_the_figures_and_twenty_tasks_and_loads_nothing(tmp_path):
    run = make_run(tmp_path / "demo")
    assert "Tasks that were written" not in write_report(run).read_text()
    write_drafts(run, "held-out")
    write_drafts(run, "round-1")
    page = write_report(run).read_text()
    assert "Tasks that were written: round 1" in page
    assert f"20 of {KEPT_DRAFTS} tasks, drawn at random" in page
    assert f"held out: {KEPT_DRAFTS} tasks out of" in page and "near-duplicate" in page
    assert len(set(re.findall(r"cups number \d+ are", page))) >= 20
    assert set(re.findall(r'<img src="([^,]*),', page)) == {"data:image/jpeg;base64"}
    assert not re.search(r'(?:href|src)="(?!data:|#)', page)


def test_a_copy_has_all_fates_and_documents(tmp_path):
    run = make_run(tmp_path / "demo")
    write_drafts(run, "held-out")
    write_drafts(run, "round-1")
    book = Book([tmp_path / "demo"])
    book.update()
    save(book, tmp_path / "copy")
    pages = list((tmp_path / "copy").glob("demo/tasks*.html"))
    assert len(pages) == 1 + 2 * (1 + 1 + 1 + len(DROPPED))
    documents = set()
    for page in (tmp_path / "copy").rglob("*.html"):
        for address in re.findall(r'(?:href|src)="([^"#]+)', page.read_text()):
            target = (page.parent / address).resolve()
            assert target.is_file() and target.is_relative_to(tmp_path / "copy"), (page, address)
            documents.update([target] if target.suffix == ".xlsx" else [])
    assert [Path(file).read_bytes() for file in documents] == [DOCUMENT]
