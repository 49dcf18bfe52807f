"""Adapters: opened for training, and written whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from sport.policy.forward import base_model, quiet_peft
from sport.policy.local import LocalPolicy
from sport.tune.config import LoraSettings


@contextmanager
def trainable(policy: LocalPolicy, settings: LoraSettings, seed: int) -> Iterator[PeftModel]:
    """The policy's model with an adapter that learns; afterwards the policy is as it was.

    A policy that has an adapter goes on with it, whatever ``settings`` say. A new adapter starts
    as the identity, so that the model before the first step is the reference in both cases. The
    model stays in evaluation mode: dropout is off.
    """
    flags = {p: p.requires_grad for p in policy.model.parameters()}
    if isinstance(policy.model, PeftModel):
        model, before = policy.model, adapter_state(policy.model)
    else:
        with torch.random.fork_rng(), quiet_peft():
            torch.manual_seed(seed)
            model, before = get_peft_model(policy.model, _config(policy.model, settings)), None
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_adapter(name))
    try:
        yield model.eval()
    finally:
        if before is None:
            model.unload()
        else:
            load_adapter_state(model, before)
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
            parameter.grad = None


def save_adapter(model: PeftModel, out: Path) -> Path:
    """Writes a PEFT adapter; the folder appears whole or not at all, and replaces an older one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(str(partial), save_embedding_layers=False)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out


def load_adapter_state(model: PeftModel, state: dict[str, Tensor]) -> None:
    """Sets the adapter's weights."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in state:
                parameter.copy_(state[name])


def adapter_state(model: PeftModel) -> dict[str, Tensor]:
    """A copy of the adapter's weights."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if _is_adapter(n)}


def _is_adapter(name: str) -> bool:
    return "lora_" in name or "modules_to_save" in name


def _config(model: nn.Module, settings: LoraSettings) -> LoraConfig:
    targets: Any = settings.target_modules
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=_linear_layers(model, settings.vision) if targets is None else targets,
    )


def _linear_layers(model: nn.Module, vision: bool) -> str:
    """A regular expression for the linear layers of the language model, or of all parts."""
    base = base_model(model)
    decoder, head = base.get_decoder(), base.get_output_embeddings()
    [prefix] = [name for name, module in base.named_modules() if module is decoder]
    inside = "" if vision else f"{prefix}."
    names = {
        name.rpartition(".")[2]
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and module is not head and name.startswith(inside)
    }
    return rf"{re.escape(inside)}.*\b({'|'.join(sorted(names))})"
