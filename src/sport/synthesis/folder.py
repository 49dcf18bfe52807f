"""What synthesis keeps in a run's folder ``synthesis/``, for every round and the tasks held out.

::

    <name>.jsonl            what was answered, found and made: the journal
    <name>-drafts.jsonl     every draft with its fate
    <name>-mix.json         what was wanted more and what less
    <name>-figures.json     how many were kept, why not, and how varied they are
    seeds.jsonl             the journal of seeds that were drafted
    library/                the pictures, where the recipe names no library of its own
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sport.jsonl import read_lines, write_whole
from sport.store import Run
from sport.synthesis.drafts import Draft
from sport.synthesis.figures import Figures
from sport.synthesis.mix import Mix

HELD_OUT = "held-out"
"""Name of the tasks that are measured on."""

_DRAFTS, _MIX, _FIGURES = "-drafts.jsonl", "-mix.json", "-figures.json"


def journal_file(run: Run, name: str) -> Path:
    """Where the journal of a round lies, as ``round-1``, of the tasks held out, or of ``seeds``."""
    return _file(run, name, ".jsonl")


def drafts_file(run: Run, name: str) -> Path:
    """Where the drafts of a round, or of the tasks held out, lie."""
    return _file(run, name, _DRAFTS)


def write_all(run: Run, name: str, drafts: Sequence[Draft], mix: Mix, figures: Figures) -> None:
    """Stores what came of a round, or of the tasks held out."""
    write_whole(_file(run, name, _MIX), mix.model_dump_json(indent=1))
    write_whole(_file(run, name, _FIGURES), figures.model_dump_json(indent=1))
    lines = (draft.model_dump_json() for draft in drafts)
    write_whole(drafts_file(run, name), "".join(f"{line}\n" for line in lines))


def read_drafts(run: Run, name: str) -> list[Draft]:
    """The drafts of a round, as ``round-1``, or of the tasks held out; none before it was made."""
    context = {"blobs": run.blobs.folder}
    lines = read_lines(drafts_file(run, name))
    return [Draft.model_validate_json(line, context=context) for line in lines]


def read_mix(run: Run, name: str) -> Mix | None:
    """What was wanted more and what less; ``None`` before it was made."""
    file = _file(run, name, _MIX)
    return Mix.model_validate_json(file.read_text()) if file.is_file() else None


def read_figures(run: Run, name: str) -> Figures | None:
    """How much was kept, and how varied it is; ``None`` before it was made."""
    file = _file(run, name, _FIGURES)
    return Figures.model_validate_json(file.read_text()) if file.is_file() else None


def written(run: Run) -> Iterator[str]:
    """The names of what was written, the tasks held out first."""
    files = (run.path / "synthesis").glob(f"*{_DRAFTS}")
    names = {file.name.removesuffix(_DRAFTS) for file in files}
    yield from sorted(names, key=lambda name: (name != HELD_OUT, len(name), name))


def _file(run: Run, name: str, ending: str) -> Path:
    return run.path / "synthesis" / f"{name}{ending}"
