"""`sport images …`: a library of captioned pictures, for tasks to be made over."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sport.cli.guard import guarded, stderr, stdout

if TYPE_CHECKING:
    from sport.library import AddReport, Library

app = typer.Typer(
    help="A library of captioned pictures: fill it, search it in words.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option("--library", help="Folder of the library.")]
Embedder = Annotated[
    Path | None,
    typer.Option(help="Folder of a sentence-transformers model, for search by meaning."),
]
_SHOWN = 20


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.add_typer(app, name="images")


@app.command("add")
def add(
    paths: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of pictures, or pictures.")
    ],
    library: Folder = Path("library"),
    embedder: Embedder = None,
    every: Annotated[bool, typer.Option("--all", help="Name every skipped file.")] = False,
) -> None:
    """Takes pictures in with the captions beside them; what is in already is passed over."""
    with guarded(shlex.join(["sport", *sys.argv[1:]])):
        from rich.progress import Progress

        with Progress(console=stderr, transient=True) as progress:
            task = progress.add_task("pictures", total=None)
            report = _open(library, embedder).add(
                paths, lambda done, total: progress.update(task, completed=done, total=total)
            )
        _print(report, every)


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(help="What the picture shows.")],
    library: Folder = Path("library"),
    embedder: Embedder = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Most hits.")] = 10,
    min_similarity: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Least cosine similarity.")
    ] = None,
    mode: Annotated[
        Literal["text", "dense", "hybrid"] | None,
        typer.Option(help="By words, by meaning, or by both."),
    ] = None,
) -> None:
    """Finds pictures by their captions, the best first: score, similarity, file, caption."""
    with guarded():
        hits = _open(library, embedder).search(text, n, min_similarity, mode)
        for hit in hits:
            similarity = "    -" if hit.similarity is None else f"{hit.similarity:5.3f}"
            line = f"{hit.score:7.4f}  {similarity}  {hit.file.source}  {hit.caption}"
            stdout.print(line, markup=False, soft_wrap=True)
        if not hits:
            stderr.print("No picture fits.")


@app.command("stats")
def stats(library: Folder = Path("library")) -> None:
    """Says what a library holds."""
    with guarded():
        held = _open(library, None).stats()
        licences = (f"{count} {name or 'unknown'}" for name, count in held.licences.items())
        vectors = (f"{count} by {name}" for name, count in held.vectors.items())
        for name, value in {
            "pictures": f"{held.pictures}, {held.near} of them near-duplicates",
            "captions": f"{held.words:.1f} words at the mean",
            "licences": ", ".join(licences) or "none",
            "vectors": ", ".join(vectors) or "none",
            "size": f"{held.bytes / 2**20:.1f} MiB",
        }.items():
            stdout.print(f"{name:9} {value}", markup=False, soft_wrap=True)


def _open(folder: Path, embedder: Path | None) -> Library:
    from sport.library import Library

    if embedder is not None:
        from transformers.utils import logging

        logging.disable_progress_bar()
    return Library.open(folder, embedder)


def _print(report: AddReport, every: bool) -> None:
    counts = {
        "added": report.added,
        "in already": report.known,
        "with another caption": report.recaptioned,
        "embedded": report.embedded,
        "near-duplicates": len(report.near),
        "skipped": len(report.skipped),
    }
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    stdout.print(summary, markup=False, soft_wrap=True)
    lines = [f"nearly equal ({n.distance} of 64 bits): {n.path} and {n.other}" for n in report.near]
    lines += [f"skipped {skipped.path}: {skipped.reason}" for skipped in report.skipped]
    for line in lines if every else lines[:_SHOWN]:
        stdout.print(line, markup=False, soft_wrap=True)
    if len(lines) > _SHOWN and not every:
        stdout.print(f"… and {len(lines) - _SHOWN} more; --all names them", markup=False)
