"""`sport view`: look at runs, live in the browser or as a static copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sport.cli.guard import guarded, stdout

if TYPE_CHECKING:
    from sport.view.book import Book


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(view)


def view(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs, or of folders of runs; runs where none is named."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Whether the browser is opened.")] = True,
    save: Annotated[
        Path | None, typer.Option(help="Write a static copy into this folder instead.")
    ] = None,
) -> None:
    """Shows runs in the browser, on this machine only, also while they go on."""
    with guarded():
        from sport.view.book import Book

        book = Book(runs or [Path("runs")])
        if save is not None:
            _save(book, save)
        else:
            show(book, port, browser)


def show(book: Book, port: int = 0, browser: bool = True) -> None:
    """Serves the viewer until Ctrl-C."""
    from sport.view.serve import serve

    def said(address: str) -> None:
        stdout.print(f"viewer: {address}  (Ctrl-C ends it)", markup=False, soft_wrap=True)

    serve(book, port, browser, said)


def _save(book: Book, folder: Path) -> None:
    from sport.view.save import save

    with stdout.status("reading trajectories") as status:
        book.update()
        page = save(book, folder, lambda name: status.update(name.replace("[", "(")))
    stdout.print(f"viewer: {page}", markup=False, soft_wrap=True)
