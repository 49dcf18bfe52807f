"""Sentences as vectors: what an embedding model is, and one out of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sport.library.records import LibraryError

_BATCH = 64
_POOLED = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_MODULES = ("Transformer", "Pooling", "Normalize")


class Embedder(Protocol):
    """An embedding model.

    Attributes:
        name: Says which model it is, in letters, digits and hyphens. Vectors of one name compare
            with each other, and with no others.
        dimension: Length of a vector.
    """

    name: str
    dimension: int

    def embed(self, texts: Sequence[str], request: bool = False) -> NDArray[np.float32]:
        """The vectors of texts, of length 1.

        Args:
            texts: Captions, or requests.
            request: Whether they are requests: some models put other words before these.

        Returns:
            ``[len(texts), dimension]``.
        """
        ...


class SentenceFolder:
    """A model in the layout of sentence-transformers, run by transformers alone.

    Mean, CLS and max pooling are understood, and the prompts in
    ``config_sentence_transformers.json``. Nothing is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        """Loads a model.

        Raises:
            LibraryError: The folder is missing, holds no such model, or one with further modules.
        """
        self._folder = Path(folder)
        if not (self._folder / "config.json").is_file():
            raise LibraryError(
                f"{folder} holds no embedding model: there is no config.json in it. Name the "
                "folder of a sentence-transformers model, such as one of all-MiniLM-L6-v2."
            )
        from transformers import AutoModel, AutoTokenizer

        try:
            self._pooling = self._read_pooling()
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # Broken files fail in any way at all; all is told.
            raise LibraryError(f"{folder} holds no embedding model that loads: {error}") from error
        self._model = model.eval().float()
        prompts = self._json("config_sentence_transformers.json").get("prompts", {})
        self._request = str(prompts.get("query", ""))
        self._caption = str(prompts.get("passage", prompts.get("document", "")))
        limit = self._json("sentence_bert_config.json").get("max_seq_length")
        self._tokens = int(limit or min(self._tokenizer.model_max_length, 512))
        self.dimension = int(self._model.config.hidden_size)
        self.name = f"{self._model.config.model_type}-{self._digest()}"

    def embed(self, texts: Sequence[str], request: bool = False) -> NDArray[np.float32]:
        """See :meth:`Embedder.embed`."""
        prompt = self._request if request else self._caption
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        # Those of one length together: less is padded.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            vectors[batch] = self._run([prompt + texts[number] for number in batch])
        return vectors

    def _run(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            if self._pooling == "cls":
                pooled = states[:, 0]
            elif self._pooling == "max":
                pooled = states.masked_fill(mask == 0, -torch.inf).amax(1)
            else:
                pooled = (states * mask).sum(1) / mask.sum(1)
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors

    def _read_pooling(self) -> str:
        modules: Any = self._json("modules.json") or []
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        if other := [kind for kind in kinds if kind not in _MODULES]:
            raise ValueError(f"it has a module {other[0]}, and only {', '.join(_MODULES)} are run")
        paths = [module["path"] for module in modules if module["type"].endswith("Pooling")]
        config = self._json(f"{paths[0]}/config.json") if paths else {}
        wanted = [key for key, value in config.items() if key.startswith("pooling_mode") and value]
        mode = str(config.get("pooling_mode", "mean")) if len(wanted) != 1 else wanted[0]
        mode = _POOLED.get(mode, mode)
        if mode not in _POOLED.values() or len(wanted) > 1:
            raise ValueError(f"its pooling {wanted or mode} is none of {list(_POOLED.values())}")
        return mode

    def _json(self, name: str) -> Any:
        file = self._folder / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def _digest(self) -> str:
        """Tells a tuned model from the one that it was tuned from."""
        whole = hashlib.sha256(f"{self._pooling} {self._tokens} {self._caption}".encode())
        for pattern in ("*.safetensors", "*.bin", "tokenizer.json"):
            for file in sorted(self._folder.glob(pattern)):
                with file.open("rb") as stream:
                    whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()[:12]
