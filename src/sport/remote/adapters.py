"""Tuned adapters in a running server (vLLM's run-time LoRA loading)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson

from sport.remote.faults import Fault, RemoteError
from sport.remote.transport import Transport

_MEND = (
    "Start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and --max-lora-rank of "
    "at least the adapter's rank, on a machine that sees this folder."
)


def served_name(adapter: Path) -> str:
    """What an adapter is called in a server: its folder's name, made unique by its content.

    Two runs on one server never share a name, and a name never stands for other weights: a server
    may keep what it has cached of a name.
    """
    digest = hashlib.sha256()
    for file in sorted(adapter.glob("adapter_*")):
        digest.update(file.read_bytes())
    return f"sport-{adapter.name}-{digest.hexdigest()[:8]}"


async def ensure_loaded(transport: Transport, adapter: Path) -> str:
    """Loads an adapter into the server, unless it is there, and returns its name.

    Raises:
        RemoteError: The server refuses; says what to set.
    """
    name = served_name(adapter)
    try:
        if name in _names(await transport.get("/models")):
            return name
        body = {"lora_name": name, "lora_path": str(adapter.absolute())}
        await transport.tell("POST", "/load_lora_adapter", orjson.dumps(body))
    except (Fault, RemoteError) as error:
        raise RemoteError(f"The adapter {adapter} cannot be loaded: {error} {_MEND}") from None
    return name


def _names(models: Any) -> set[str]:
    listed = models.get("data") if isinstance(models, dict) else None
    return {m["id"] for m in listed or () if isinstance(m, dict) and "id" in m}
