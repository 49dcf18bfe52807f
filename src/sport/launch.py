"""What `accelerate launch` tells each of its processes, readable before torch is loaded."""

from __future__ import annotations

import os

_SHARDING = {
    "ACCELERATE_USE_FSDP": "FSDP",
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


def assert_whole_models() -> None:
    """Raises where models are to be sharded over the processes.

    Processes take shares of about as many tokens, in different numbers of forwards. A sharded
    model exchanges weights in every forward, so that one process would wait for the other for ever.

    Raises:
        LaunchError: They are.
    """
    for variable, name in _SHARDING.items():
        if os.environ.get(variable, "").lower() in ("1", "true"):
            raise LaunchError(
                f"{name} shards the model over processes, whose numbers of forwards differ here. "
                "Launch with --multi_gpu: every process then holds the whole model; "
                'where it is too large for that, use policy.quantize = "4bit"'
            )


def assert_all_joined(found: int) -> None:
    """Raises unless a process found all others: else each would take itself for the writer.

    Raises:
        LaunchError: It did not.
    """
    if found != count():
        raise LaunchError(f"{count()} processes were launched, but this one found {found}")
