"""How like its references an answer in sentences is, by GTA's own measure."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

MODEL = "all-mpnet-base-v2"
"""The model of sentence embeddings that the benchmark uses."""


def available() -> bool:
    """Whether sentence-transformers is installed."""
    return importlib.util.find_spec("sentence_transformers") is not None


def similarity(answer: object, references: Sequence[str]) -> float | None:
    """The best cosine similarity to a reference, not below 0 (OpenCompass, ``simscore``).

    Args:
        answer: The final answer; ``None`` is a missing one, and scores 0 where others are scored.
        references: Sentences.

    Returns:
        In [0, 1]; ``None`` where the package sentence-transformers is not installed: unscored.
    """
    if not available():
        return None
    if answer is None or not str(answer):
        return 0.0
    model = _model()
    vectors = model.encode([str(answer), *references], normalize_embeddings=True)
    return max(0.0, *(float(vectors[0] @ vector) for vector in vectors[1:]))


@lru_cache(maxsize=1)
def _model() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(MODEL)
