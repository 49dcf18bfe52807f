"""The viewer in a real browser: Debian's Chromium, driven by Playwright."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from made_run import HOSTILE, explored
from sport.progress import STATE
from sport.store import Run
from sport.view.book import Book
from sport.view.save import save
from view.conftest import make_run
from view.drafted import write_drafts

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *root])
        yield started
        started.close()


class Watched:
    """A page, with all it asked for and all that went wrong in it."""

    def __init__(self, page: Page):
        self.page = page
        self.requests: list[str] = []
        self.wrong: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield Watched(context.new_page())
    context.close()


def test_filter_search_and_step_by_keys_alone(demo, watched):
    page = watched.page
    page.goto(f"{demo.address}/r/demo/trajectories")
    page.keyboard.press("/")
    page.keyboard.type("boxes")
    page.get_by_text("1 found").wait_for()
    page.wait_for_url("**q=boxes*")
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    for _ in range(5):  # rows found by the first letters may still be replaced under the key
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        with suppress(PlaywrightTimeout):
            page.wait_for_url("**/t/**", timeout=4_000)
            break
    page.wait_for_load_state("load")
    for key, step in (("j", "step-1"), ("j", "step-2"), ("k", "step-1")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == step
    page.keyboard.press("l")
    assert "best" in page.evaluate("document.activeElement.className")
    page.keyboard.press("d")
    assert page.locator(".diff pre").first.is_visible()
    page.keyboard.press("?")
    assert page.locator("dialog#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url("**/trajectories?q=boxes")
    page.locator("select[name=flag]").select_option("wrong")
    page.get_by_text("0 found").wait_for()
    assert watched.wrong == []
    assert all(url.startswith(demo.address) for url in watched.requests)


def test_labelling_by_keys(tmp_path, serving, watched):
    make_run(tmp_path / "demo")
    served = serving(tmp_path)
    watched.page.goto(f"{served.address}/r/demo/label?name=ann")
    skipped = watched.page.locator(".ballot [name=step]").get_attribute("value")
    watched.page.keyboard.press("s")
    watched.page.locator(f'.ballot [name=step]:not([value="{skipped}"])').wait_for(state="attached")
    # A page hears keys once its script has run, which is before it counts as loaded.
    watched.page.wait_for_load_state("load")
    watched.page.keyboard.press("2")
    watched.page.get_by_text("1 of 2 steps judged").wait_for()
    watched.page.wait_for_load_state("load")
    watched.page.keyboard.press("0")
    watched.page.get_by_text("All 2 steps are judged by ann").wait_for()
    rows = (tmp_path / "demo/agreement/ann.jsonl").read_text().splitlines()
    first, second = map(json.loads, rows)
    assert first["choice"] == first["order"][1] and second["choice"] is None
    assert watched.wrong == []


def test_comparing_moves_on_to_the_next_task(demo, watched):
    page = watched.page
    page.goto(f"{demo.address}/r/demo/compare?show=all")
    page.locator("a[data-row]").first.click()
    page.wait_for_url("**task=**")
    assert page.locator(".halves section").count() == 2
    before = page.url
    page.keyboard.press("n")
    page.wait_for_url(lambda url: url != before)
    assert watched.wrong == []


def test_a_page_follows_a_run_that_goes_on(tmp_path, serving, watched):
    run = make_run(tmp_path / "demo")
    state = {"state": "running", "line": "round 1: exploring · 1/9 tasks", "done": 1, "total": 9,
             "again": "sport run demo.toml", "updated": time.time()}  # fmt: skip
    (run.path / STATE).write_text(json.dumps(state))
    served = serving(tmp_path)
    page = watched.page
    page.goto(f"{served.address}/r/demo")
    page.get_by_text("1/9 tasks").wait_for()
    tasks = page.locator(".bars > div.n").first
    assert tasks.inner_text() == "1"
    [first] = run.trajectories()
    more = explored(first.task.model_copy(update={"id": "second"}))
    Run.open(run.path).append(run.path / "trajectories.jsonl", [more])
    state |= {"line": "round 1: exploring · 2/9 tasks", "done": 2, "updated": time.time()}
    (run.path / STATE).write_text(json.dumps(state))
    page.get_by_text("2/9 tasks").wait_for(timeout=20_000)
    expect(tasks).to_have_text("2", timeout=30_000)
    assert watched.wrong == []


@pytest.mark.parametrize("width", [400, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(demo, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    key = re.search(r"/t/([0-9a-f]{16})", demo.ask("/r/demo/trajectories")[1])[1]
    for path in ("/", "/r/demo", "/r/demo/trajectories", f"/r/demo/t/{key}", "/r/demo/compare",
                 "/r/demo/label"):  # fmt: skip
        page.goto(demo.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        light = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 128"
        )
        assert light == (scheme == "light")
    context.close()


def test_hostile_content_runs_nothing_and_the_page_stays_usable(tmp_path, serving, watched):
    long = "A" * 5_000_000
    hostile = (
        HOSTILE + "\x1b[31mred\x1b]8;;http://evil.example\x07 <a href='javascript:alert(4)'>x</a>"
        "<iframe src=javascript:alert(5)></iframe><base href=http://evil.example/>"
        "<meta http-equiv=refresh content='0;url=http://evil.example/'>../../etc/passwd"
    )
    run = make_run(tmp_path / "demo", hostile)
    [first] = run.trajectories()
    task = first.task.model_copy(update={"id": "long", "query": hostile})
    Run.open(run.path).append(run.path / "trajectories.jsonl", [explored(task, hostile + long)])
    served = serving(tmp_path)
    page = watched.page
    for path in ("/", "/r/demo", "/r/demo/trajectories", "/r/demo/compare?show=all",
                 "/r/demo/label?name=ann"):  # fmt: skip
        page.goto(served.address + path)
    page.goto(f"{served.address}/r/demo/trajectories?place=explore-1")
    for link in [a.get_attribute("href") for a in page.locator("a[data-row]").all()]:
        started = time.monotonic()
        page.goto(served.address + link)
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "step-1"
        assert time.monotonic() - started < 20
        assert "more)" in page.content() or "long" not in page.content()
        assert page.locator("iframe, base, main script, main a[href^=javascript]").count() == 0
    assert watched.wrong == []
    assert all(url.startswith(served.address) for url in watched.requests)


@pytest.mark.parametrize("width", [400, 1440])
def test_tasks_are_looked_at_drawn_and_searched_by_keys(tmp_path, serving, browser, width):
    write_drafts(make_run(tmp_path / "demo"), text=HOSTILE + "W" * 300)
    served = serving(tmp_path)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark")
    watched = Watched(context.new_page())
    page = watched.page
    page.goto(f"{served.address}/r/demo")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url("**/tasks")  # and for its styles
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    first = page.locator("article .query").all_inner_texts()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.tagName") == "ARTICLE"
    page.keyboard.press("n")
    page.wait_for_url("**draw=1**")
    assert page.locator("article .query").all_inner_texts() != first
    picture = page.locator("article img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 640)
    page.keyboard.press("/")
    page.keyboard.type("number 90")
    page.get_by_text("1 found").wait_for()
    with page.expect_download() as download:
        page.locator("article a[download]").click()
    assert download.value.suggested_filename.endswith(".xlsx")
    page.keyboard.press("Escape")
    page.locator("#q").fill("")
    page.locator("select[name=fate]").select_option("spare")
    page.get_by_text("1 found: spare").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.wrong == []
    assert all(url.startswith(served.address) for url in watched.requests)
    context.close()


def test_a_copy_opens_from_a_disk_and_asks_for_nothing_else(tmp_path, watched):
    make_run(tmp_path / "demo")
    book = Book([tmp_path / "demo"])
    book.update()
    first = save(book, tmp_path / "copy")
    page = watched.page
    page.goto(first.as_uri())
    page.get_by_role("link", name="demo").click()
    page.get_by_role("link", name="Trajectories", exact=True).click()
    page.locator("#q").fill("abc")
    page.locator("#q").fill("round 1, exploring")
    assert page.locator("tr[data-text]:visible").count() == 1
    page.locator("tr[data-text]:visible a").click()
    page.wait_for_url("**/t/*.html")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "step-1"
    assert page.locator("main img").first.evaluate("image => image.naturalWidth") == 900
    assert page.evaluate("getComputedStyle(document.querySelector('.columns')).display") == "grid"
    folder = (tmp_path / "copy").as_uri()
    assert all(url.startswith(folder) for url in watched.requests)
    assert watched.wrong == []


def test_a_report_is_one_file(tmp_path, watched):
    from sport.view.report import write_report

    run = make_run(tmp_path / "demo", HOSTILE)
    report = write_report(run)
    watched.page.goto(report.as_uri())
    assert (
        watched.page.evaluate("getComputedStyle(document.querySelector('.tiles')).display")
        == "grid"
    )
    pictures = [u for u in watched.requests if not u.startswith("data:")]
    assert pictures == [report.as_uri()] and watched.wrong == []
