"""How often the library of pictures finds the right one, and how fast it is.

python benchmarks/retrieval.py quality MODEL    # by words, by meaning, by both
python benchmarks/retrieval.py scale            # 10,000 and 100,000 captions

MODEL is the folder of a sentence-transformers model. Quality: ``retrieval_captions.tsv`` holds 200
captions, and for each a request in other words, chosen to share none with it (paraphrased), and a
short one that names the main things (shortened); all were written for this purpose. All captions
are in the library. Requests in odd lines are for development, those in even lines for the test; the
default mode is the best of development. Scale: generated captions (words by Zipf's law) and
generated unit vectors stand for real ones, so embedding is not in these times.
Results go to ``benchmarks/results/retrieval.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sport.evals.statistics import wilson
from sport.library import Library
from sport.library.library import DEFAULT, Mode
from sport.library.place import Folder
from sport.library.records import Caption, Picture
from sport.library.tables import Tables

HERE = Path(__file__).parent
RESULT = HERE / "results" / "retrieval.json"
SIZES = (10_000, 100_000)
DIMENSION = 384
BATCH = 5_000
REQUESTS = 200


def quality(model: Path) -> dict[str, Any]:
    """Recall at 1 of each mode on each half, with 95 % Wilson intervals."""
    lines = (HERE / "retrieval_captions.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    figures: dict[str, Any] = {"captions": len(rows), "default": DEFAULT}
    with tempfile.TemporaryDirectory() as folder:
        library = _filled(Path(folder), [row[0] for row in rows], model)
        for part, chosen in (("development", rows[0::2]), ("test", rows[1::2])):
            for kind, column in (("paraphrased", 1), ("shortened", 2)):
                for mode in get_args(Mode):
                    found = [library.search(row[column], n=1, mode=mode) for row in chosen]
                    right = [
                        bool(f) and f[0].caption == r[0] for f, r in zip(found, chosen, strict=True)
                    ]
                    figures.setdefault(part, {}).setdefault(mode, {})[kind] = _share(right)
            for mode, kinds in figures[part].items():
                right = sum(share["right"] for share in kinds.values())
                kinds["all"] = _share([True] * right + [False] * (2 * len(chosen) - right))
                print(f"{part:12} {mode:7}", json.dumps(kinds))
    return figures


def _share(right: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(right), len(right))
    interval = [round(low, 4), round(high, 4)]
    return {"right": sum(right), "requests": len(right), "interval": interval}


def _filled(folder: Path, captions: Sequence[str], model: Path) -> Library:
    """A library of plain pictures with these captions."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, caption in enumerate(captions):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(pictures / f"{number:03}.png")
        (pictures / f"{number:03}.txt").write_text(caption, encoding="utf-8")
    library = Library.open(folder / "library", model)
    report = library.add([pictures])
    assert (report.added, report.embedded) == (len(captions), len(captions)), report
    return library


class Generated:
    """Stands for an embedding model: a random unit vector for each text."""

    name = "generated"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str], request: bool = False) -> NDArray[np.float32]:
        """One vector a text, always the same one."""
        seeds = (int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts)
        vectors = np.stack([np.random.default_rng(seed).normal(size=DIMENSION) for seed in seeds])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, dtype=np.float32)


def sentences(count: int, seed: int, words: int) -> Iterable[str]:
    """Sentences of made-up words, of which the k-th comes about 1/k as often as the first."""
    rng = np.random.default_rng(seed)
    for row in rng.zipf(1.3, size=(count, words)) % 20_000:
        yield " ".join(f"w{number}" for number in row)


def build(folder: Path, size: int) -> dict[str, float]:
    """Writes and indexes rows; seconds by what was done."""
    tables = Tables(Folder(folder))
    captions = list(sentences(size, 0, 12))
    spent = {"captions": 0.0, "vectors": 0.0}
    for start in range(0, size, BATCH):
        batch = range(start, min(start + BATCH, size))
        pictures = [
            Picture(f"{n:064x}", f"{n:064x}", f"{n}.png", Caption(captions[n]), 8, 8, n)
            for n in batch
        ]
        vectors = Generated().embed([captions[n] for n in batch])
        begun = time.perf_counter()
        tables.add(pictures)
        spent["captions"] += time.perf_counter() - begun
        begun = time.perf_counter()
        tables.add_vectors(Generated.name, [p.sha256 for p in pictures], vectors)
        spent["vectors"] += time.perf_counter() - begun
    begun = time.perf_counter()
    tables.settle()
    spent["index"] = time.perf_counter() - begun
    return spent


def search(folder: Path) -> dict[str, float]:
    """Milliseconds of a search at the median and the 95th percentile, by mode."""
    library = Library.open(folder, Generated())
    figures: dict[str, float] = {}
    for mode in get_args(Mode):
        spent = []
        for text in sentences(REQUESTS, 1, 8):
            begun = time.perf_counter()
            assert len(library.search(text, n=10, mode=mode)) == 10
            spent.append(1000 * (time.perf_counter() - begun))
        figures[f"{mode}_p50_ms"] = round(float(np.median(spent)), 2)
        figures[f"{mode}_p95_ms"] = round(float(np.percentile(spent, 95)), 2)
    return figures


def scale() -> dict[str, Any]:
    """Builds and searches libraries, each step in a process of its own for its memory."""
    figures: dict[str, Any] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            built = _alone("build", folder, size)
            found = _alone("search", folder, size)
        seconds = built["captions"] + built["vectors"] + built["index"]
        figures[str(size)] = {
            "captions_per_second": round(size / seconds),
            "build_s": {key: round(built[key], 2) for key in ("captions", "vectors", "index")},
            "build_memory_mb": built["memory_mb"],
            "search": found,
        }
        print(size, json.dumps(figures[str(size)]))
    return figures


def _alone(step: str, folder: str, size: int) -> dict[str, float]:
    command = [sys.executable, __file__, step, folder, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Runs one part and keeps the other's result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("quality", "scale", "build", "search"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("size", nargs="?", type=int, default=0)
    given = parser.parse_args()
    if given.part in ("build", "search"):
        step = build(given.folder, given.size) if given.part == "build" else search(given.folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        print(json.dumps({**step, "memory_mb": round(memory)}))
        return
    if given.part == "quality" and given.folder is None:
        parser.error("quality needs the folder of an embedding model")
    figures = quality(given.folder) if given.part == "quality" else scale()
    known = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    RESULT.write_text(json.dumps({**known, given.part: figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
