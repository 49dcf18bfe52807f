"""The served viewer."""

# Annotations are values here: FastAPI reads them, and some are made for one application.
import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qs, quote, urlencode

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from sport.blobs import BlobError
from sport.jsonl import StoreError
from sport.types import File
from sport.view import pages
from sport.view.book import Book, Entry
from sport.view.comparison import SHOWS, Comparison, sides_of
from sport.view.guard import Guard
from sport.view.label import Labels
from sport.view.pictures import picture
from sport.view.search import PAGE, Filter
from sport.view.site import STATIC, asset
from sport.view.tasks import TaskFilter, document, saved_as
from sport.view.tasks_page import tasks_page

_UNCHANGED = 204  # htmx leaves the page as it is


class Served:
    """The site as it is served."""

    live = True
    policy = ""  # a header says it

    def static(self, name: str) -> str:
        """Address of a file that pages load."""
        return f"/static/{name}"

    def page(self, run: str, *path: str, wanted: Filter | None = None) -> str:
        """Address of a page."""
        parts = "".join(f"/{quote(part, safe='')}" for part in path)
        where = f"/r/{quote(run, safe='')}{parts}" if run else "/"
        return where + (wanted.query() if wanted else "")

    def listing(self, run: str, wanted: Filter, first: int) -> str:
        """Address of a page of the list."""
        return self.page(run, "trajectories") + wanted.query(first=first)

    def comparison(self, run: str, choice: Mapping[str, str]) -> str:
        """Address of a comparison."""
        return f"{self.page(run, 'compare')}?{urlencode(choice)}"

    def tasks(self, run: str, wanted: TaskFilter) -> str:
        """Address of tasks that a model made."""
        return self.page(run, "tasks") + wanted.query()

    def picture(self, run: str, file: File) -> str:
        """Address of a picture."""
        return f"/blob/{quote(run, safe='')}/{file.sha256}"

    def document(self, run: str, file: File) -> str:
        """Address of a file to be saved."""
        return f"/file/{quote(run, safe='')}/{file.sha256}"


def make_app(book: Book, hosts: Sequence[str]) -> ASGIApp:
    """The application.

    Args:
        book: The runs; it is kept up to date as long as the application runs.
        hosts: The values of ``Host`` that are the viewer's own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        book.start()
        yield
        await asyncio.to_thread(book.stop)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app, book)
    _add_files(app, book)
    _add_labels(app, book)

    @app.exception_handler(BlobError)
    @app.exception_handler(StoreError)
    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(OSError)
    def unreadable(request: Request, error: Exception) -> Response:
        return Response(str(error), 503, media_type="text/plain")

    return Guard(app, hosts)


def _found(book: Book) -> Callable[[str], Entry]:
    def entry(run: str) -> Entry:
        try:
            return book[run]
        except KeyError:
            raise HTTPException(404, "There is no such run.") from None

    return entry


def _wanted(
    q: Annotated[str, Query(max_length=200)] = "",
    place: str = "",
    flag: str = "",
    tool: str = "",
    error: str = "",
    kind: str = "",
) -> Filter:
    return Filter(q, place, flag, tool, error, kind)


def _wanted_tasks(
    of: str = "",
    fate: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    draw: Annotated[int, Query(ge=0, le=10**9)] = 0,
    first: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> TaskFilter:
    return TaskFilter(of, fate, q, draw, first)


def _add_pages(app: FastAPI, book: Book) -> None:
    site = Served()
    Named = Annotated[Entry, Depends(_found(book))]
    Wanted = Annotated[Filter, Depends(_wanted)]

    @app.get("/", response_class=HTMLResponse)
    def runs() -> str:
        return pages.runs_page(site, book)

    @app.get("/r/{run}", response_class=HTMLResponse)
    def run_(entry: Named) -> str:
        return pages.run_page(site, entry)

    @app.get("/r/{run}/status", response_class=HTMLResponse)
    def status(entry: Named) -> str:
        return pages.status_part(site, entry)

    @app.get("/r/{run}/figures")
    def figures(entry: Named, state: str = "") -> Response:
        if state == entry.state():
            return Response(status_code=_UNCHANGED)
        return HTMLResponse(pages.run_page(site, entry, "_figures.html"))

    @app.get("/r/{run}/trajectories", response_class=HTMLResponse)
    def trajectories(
        entry: Named, wanted: Wanted, first: Annotated[int, Query(ge=0, le=10**9)] = 0
    ) -> str:
        return pages.list_page(site, entry, wanted, first, PAGE)

    @app.get("/r/{run}/t/{key}", response_class=HTMLResponse)
    def trajectory(entry: Named, key: str, wanted: Wanted) -> str:
        try:
            return pages.trajectory_page(site, entry, key, wanted)
        except KeyError:
            raise HTTPException(404, "There is no such trajectory.") from None

    @app.get("/r/{run}/tasks", response_class=HTMLResponse)
    def tasks(entry: Named, wanted: Annotated[TaskFilter, Depends(_wanted_tasks)]) -> str:
        try:
            return tasks_page(site, entry.run, entry.slug, wanted)
        except KeyError:
            raise HTTPException(404, "There are no such tasks.") from None

    @app.get("/r/{run}/compare", response_class=HTMLResponse)
    def compare(
        entry: Named, before: str = "", after: str = "", show: str = "changed", task: str = ""
    ) -> str:
        if show not in SHOWS:
            raise HTTPException(404, "There is no such choice of tasks.")
        try:
            comparison = Comparison(sides_of(book, entry), before, after)
            return pages.compare_page(site, entry, comparison, show, task)
        except KeyError:
            raise HTTPException(404, "There is nothing like this to compare.") from None


def _add_files(app: FastAPI, book: Book) -> None:
    Named = Annotated[Entry, Depends(_found(book))]

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        return Response(asset(name), media_type=STATIC[name])

    @app.get("/blob/{run}/{sha256}")
    def blob(entry: Named, sha256: str) -> Response:
        found = picture(entry.run, sha256)
        if found is None:
            raise HTTPException(404)
        data, media_type = found
        headers = {
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return Response(data, media_type=media_type, headers=headers)

    @app.get("/file/{run}/{sha256}")
    def file(entry: Named, sha256: str) -> Response:
        found = document(entry.run, sha256)
        if found is None:
            raise HTTPException(404)
        headers = {
            "Content-Disposition": f'attachment; filename="{saved_as(found)}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        data = entry.run.blobs.read(found)
        return Response(data, media_type="application/octet-stream", headers=headers)


def _add_labels(app: FastAPI, book: Book) -> None:
    site, labels = Served(), Labels()
    Named = Annotated[Entry, Depends(_found(book))]

    @app.get("/r/{run}/label", response_class=HTMLResponse)
    def ask(entry: Named, name: str = "") -> str:
        try:
            return labels.page(site, entry, name)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    @app.post("/r/{run}/label")
    async def answer(entry: Named, request: Request) -> Response:
        body = (await request.body()).decode("utf-8", "replace")
        form = {k: v[0] for k, v in parse_qs(body).items()}
        try:
            person = await asyncio.to_thread(labels.take, entry, form)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return RedirectResponse(
            f"{site.page(entry.slug, 'label')}?{urlencode({'name': person})}", 303
        )
