"""What `accelerate launch` tells each of its processes, readable before torch is loaded."""

from __future__ import annotations

import os

_OTHERS = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


class LaunchError(RuntimeError):
    """What was launched cannot be done in this way; says how it can."""


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def shards() -> bool:
    """Whether the processes are to share the model out among them."""
    return count() > 1 and _is_set("ACCELERATE_USE_FSDP")


def assert_known() -> None:
    """Raises where models are to be shared out in a way that tuning does not know.

    Raises:
        LaunchError: They are.
    """
    asked = [name for variable, name in _OTHERS.items() if _is_set(variable)]
    if _is_set("ACCELERATE_USE_FSDP") and os.environ.get("FSDP_VERSION", "1") != "2":
        asked.append("FSDP of version 1")
    if asked:
        raise LaunchError(
            f"{asked[0]} is not supported. Launch with --use_fsdp --fsdp_version 2, which shares "
            "the model's layers out among the processes, or with --multi_gpu: every process then "
            "holds the whole model"
        )


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true")


def assert_all_joined(found: int) -> None:
    """Raises unless a process found all others: else each would take itself for the writer.

    Raises:
        LaunchError: It did not.
    """
    if found != count():
        raise LaunchError(f"{count()} processes were launched, but this one found {found}")
