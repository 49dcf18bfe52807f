"""Log-probabilities under the reference: computed once, and kept by model, adapter and content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from sport.jsonl import append_lines, mend, read_lines
from sport.tune.sharding import whole


class ReferenceCache:
    """A JSONL file of log-probabilities by key; without a file it remembers nothing."""

    def __init__(self, file: Path | None) -> None:
        """Reads what there is; a torn last line is cut off."""
        self._file = file
        self._known: dict[str, list[float]] = {}
        if file is not None:
            mend(file)
            rows = map(json.loads, read_lines(file))
            self._known = {row["key"]: row["logps"] for row in rows}

    def get(self, key: str, dtype: torch.dtype) -> Tensor | None:
        """The log-probabilities of a unit's candidates, where they are known."""
        found = self._known.get(key)
        return None if found is None else torch.tensor(found, dtype=dtype)

    def add(self, rows: Iterable[tuple[str, Tensor]]) -> None:
        """Keeps log-probabilities; they read back equal, to the last bit."""
        new = {key: logps.double().tolist() for key, logps in rows}
        self._known |= new
        if self._file is not None and new:
            append_lines(self._file, [json.dumps({"key": k, "logps": v}) for k, v in new.items()])


def model_digest(model: nn.Module, adapter: bool) -> str:
    """Digest of a model's weights, with or without those of its adapter."""
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in sorted(model.named_parameters()):
        if adapter or "lora_" not in name:
            digest.update(name.encode())
            digest.update(tensor_bytes(whole(parameter)))
    return digest.hexdigest()


def tensor_bytes(tensor: Tensor) -> Any:
    """The bytes of a tensor, to be hashed."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def content_digest(*parts: Tensor | dict[str, Tensor]) -> str:
    """Digest of tensors, and of tensors by name."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        named = part if isinstance(part, dict) else {"": part}
        for name, tensor in sorted(named.items()):
            digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}/".encode())
            digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


@contextmanager
def as_reference(model: PeftModel, reference: str) -> Iterator[None]:
    """Within the block the model is the reference: as it starts, or without its adapter."""
    with torch.no_grad():
        if reference == "start":
            yield
        else:
            with model.disable_adapter():
                yield
