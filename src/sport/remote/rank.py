"""Whether a server loads adapters of a rank while it runs: tried with one that changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from safetensors.numpy import save_file

from sport.remote.client import ChatClient
from sport.remote.faults import Fault, RemoteError
from sport.remote.probe import Finding

_NAME = "sport-doctor"


async def probe_rank(client: ChatClient, config: Any, rank: int) -> Finding:
    """Loads an adapter of zeros on one layer, and unloads it.

    Args:
        client: Of the server; it is opened and closed here.
        config: The model's transformers config.
        rank: Of the adapters that tuning will make.
    """
    # In the working directory, since server and run must see the same folders anyway.
    with TemporaryDirectory(prefix=".sport-doctor-", dir=Path.cwd()) as folder:
        _write(Path(folder), config, rank)
        async with client:
            body = {"lora_name": _NAME, "lora_path": folder}
            try:
                await client.transport.tell("POST", "/load_lora_adapter", orjson.dumps(body))
            except (Fault, RemoteError) as error:
                return Finding(False, _mend(str(error), rank))
            try:
                unload = orjson.dumps({"lora_name": _NAME})
                await client.transport.tell("POST", "/unload_lora_adapter", unload)
            except (Fault, RemoteError) as error:
                return Finding(False, f"loads adapters but does not let go of them: {error}")
    return Finding(True, f"loads adapters of rank {rank} while it runs")


def _mend(said: str, rank: int) -> str:
    if "rank" in said.lower():
        return f"refuses adapters of rank {rank}: {said} Start vLLM with --max-lora-rank {rank}."
    return (
        f"does not load adapters while it runs: {said} Start vLLM with --enable-lora and "
        f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and --max-lora-rank {rank}."
    )


def _write(folder: Path, config: Any, rank: int) -> None:
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    prefix = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
    save_file(
        {
            f"{prefix}.lora_A.weight": np.zeros((rank, text.hidden_size), np.float32),
            f"{prefix}.lora_B.weight": np.zeros(
                (text.num_attention_heads * head, rank), np.float32
            ),
        },
        folder / "adapter_model.safetensors",
    )
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": ["q_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
