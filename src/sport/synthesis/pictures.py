"""The library that tasks are made over: opened, and filled from the folders that a recipe names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sport.config import Recipe
from sport.library import Library, LibraryError
from sport.library.describe import CaptionWriter
from sport.library.embed import Embedder
from sport.synthesis.config import PictureSettings

_SHOWN = 10


def open_library(
    recipe: Recipe,
    run: Path,
    say: Callable[[str], None],
    embedder: Embedder | None = None,
    writer: CaptionWriter | None = None,
) -> Library:
    """The library of a recipe, with what its ``pictures`` hold.

    Args:
        recipe: Says where it lies, and what is taken into it.
        run: The run's folder, in which it lies where the recipe names none.
        say: Told what was taken in, and what was not and why.
        embedder: By which it is searched.
        writer: Gives captions to pictures that have none; without it they are skipped.

    Raises:
        LibraryError: It is empty, or nothing in the folders can be used.
    """
    settings = recipe.synthesis
    assert isinstance(settings, PictureSettings), "the recipe was validated"
    named = settings.library
    where = run / "synthesis" / "library" if named is None else recipe.place(named)
    library = Library.open(where, embedder)
    folders = [recipe.path(folder) for folder in settings.pictures]
    if folders:
        report = library.add(folders, writer=writer)
        for line in report.told(_SHOWN):
            say(f"library: {line}")
        if not report.added + report.known + report.recaptioned:
            shown = ", ".join(map(str, folders))
            raise LibraryError(f"synthesis.pictures: no picture in {shown} can be used")
    library.stats()  # An empty one is told before anything is paid.
    return library
