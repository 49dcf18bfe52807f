"""`sport images …`: a library of captioned pictures, for tasks to be made over."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sport.cli.guard import guarded, stderr, stdout

if TYPE_CHECKING:
    from sport.library import Library
    from sport.library.describe import CaptionWriter
    from sport.library.embed import Embedder
    from sport.remote.config import ServerSettings

app = typer.Typer(
    help="A library of captioned pictures: fill it, search it in words.", no_args_is_help=True
)
Place = Annotated[
    str, typer.Option("--library", help="Folder of the library, or s3://BUCKET/PREFIX.")
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--embedder", help="Folder of a sentence-transformers model, for search by meaning."
    ),
]
EmbeddingsUrl = Annotated[
    str | None,
    typer.Option(help="In its place: a server with an OpenAI embeddings API, http://…/v1."),
]
EmbeddingsModel = Annotated[
    str | None, typer.Option(help="What that server calls its embedding model.")
]
EmbeddingsKey = Annotated[
    str | None,
    typer.Option(metavar="VAR", help="Variable with its key; or VAR_FILE names a file with it."),
]
_SHOWN = 20
_CONCURRENCY = 8
"""Requests under way at a time."""


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.add_typer(app, name="images")


@app.command("add")
def add(
    paths: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of pictures, or pictures.")
    ],
    library: Place = "library",
    embedder: Model = None,
    embeddings_url: EmbeddingsUrl = None,
    embeddings_model: EmbeddingsModel = None,
    embeddings_key_env: EmbeddingsKey = None,
    caption_url: Annotated[
        str | None,
        typer.Option(
            help="Captions that are lacking are written by a server with an OpenAI chat API and a "
            "model that sees pictures."
        ),
    ] = None,
    caption_model: Annotated[
        str | None, typer.Option(help="What that server calls its model.")
    ] = None,
    caption_key_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="Variable with its key, or VAR_FILE as above."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Name every skipped file.")] = False,
) -> None:
    """Takes pictures in with the captions beside them; what is in already is passed over."""
    with guarded(shlex.join(["sport", *sys.argv[1:]])):
        from rich.progress import Progress

        model = _embedder(embedder, embeddings_url, embeddings_model, embeddings_key_env)
        opened = _open(library, model)
        writer = _writer(caption_url, caption_model, caption_key_env)
        with Progress(console=stderr, transient=True) as progress:
            task = progress.add_task("pictures", total=None)
            report = opened.add(
                paths,
                lambda done, total: progress.update(task, completed=done, total=total),
                writer,
            )
        for line in report.told(None if every else _SHOWN):
            stdout.print(line, markup=False, soft_wrap=True)


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(help="What the picture shows.")],
    library: Place = "library",
    embedder: Model = None,
    embeddings_url: EmbeddingsUrl = None,
    embeddings_model: EmbeddingsModel = None,
    embeddings_key_env: EmbeddingsKey = None,
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
        model = _embedder(embedder, embeddings_url, embeddings_model, embeddings_key_env)
        hits = _open(library, model).search(text, n, min_similarity, mode)
        for hit in hits:
            similarity = "    -" if hit.similarity is None else f"{hit.similarity:5.3f}"
            line = f"{hit.score:7.4f}  {similarity}  {hit.file.source}  {hit.caption}"
            stdout.print(line, markup=False, soft_wrap=True)
        if not hits:
            stderr.print("No picture fits.")


@app.command("stats")
def stats(library: Place = "library") -> None:
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


def _open(where: str, embedder: Embedder | Path | None) -> Library:
    from sport.library import Library

    return Library.open(where, embedder)


def _embedder(
    folder: Path | None, url: str | None, model: str | None, key_env: str | None
) -> Embedder | Path | None:
    """What the options name: a folder, a server, or nothing."""
    from sport.library import LibraryError

    if folder is not None and url is not None:
        raise LibraryError("--embedder and --embeddings-url name two models; give one of them.")
    if folder is not None:
        from transformers.utils import logging

        logging.disable_progress_bar()
        return folder
    server = _server("embeddings", url, model, key_env)
    if server is None:
        return None
    from sport.library.endpoint import EmbeddingServer

    return EmbeddingServer(server, str(model))


def _writer(url: str | None, model: str | None, key_env: str | None) -> CaptionWriter | None:
    server = _server("caption", url, model, key_env)
    if server is None:
        return None
    from sport.library.describe import CaptionWriter

    return CaptionWriter(server, str(model))


def _server(
    what: str, url: str | None, model: str | None, key_env: str | None
) -> ServerSettings | None:
    """The server that options of one name describe; ``None`` where there are none."""
    from pydantic import ValidationError

    from sport.library import LibraryError
    from sport.remote.config import ServerSettings

    if url is None and model is None and key_env is None:
        return None
    if url is None or not model:
        raise LibraryError(f"--{what}-url and --{what}-model go together; one of them is missing.")
    try:
        return ServerSettings(url=url, key_env=key_env, concurrency=_CONCURRENCY)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise LibraryError(f"--{what}-url: {said}") from None
