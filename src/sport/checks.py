"""What a recipe needs of this machine: tools, model, memory and disk, before a run begins."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sport.assemble import model_path
from sport.config import Recipe
from sport.remote.probe import Finding
from sport.types import Task
from sport.workbench import Workbench

if TYPE_CHECKING:
    from sport.tools.function import Tool

_GIB = 2**30
_RANK = 16
"""The largest rank of adapters that vLLM takes where it is told none."""


def check_machine(recipe: Recipe, folder: Path) -> Iterator[Finding]:
    """What this machine lacks, and what it has.

    Args:
        recipe: What is to be run.
        folder: Where runs are written.
    """
    yield from _tools(recipe)
    yield from _rank_of_command(recipe)
    try:
        config = model_config(recipe)
    except (OSError, ValueError) as error:
        yield Finding(False, f"policy.model = {recipe.policy.model!r} cannot be read: {error}")
        return
    yield from _family(recipe, config)
    yield from _room(recipe, config, folder)


def model_config(recipe: Recipe) -> Any:
    """The transformers config of the recipe's policy.

    Raises:
        OSError: There is none.
        ValueError: transformers does not know its kind.
    """
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model_path(recipe))


def longest_prompt(recipe: Recipe) -> int:
    """Tokens of the longest prompt with its action, roughly: one picture, every step used."""
    from sport.estimate import CHARS_A_TOKEN, PIXELS_A_TOKEN, likely

    opening = Workbench(recipe).opening(Task(id="", query=""))
    text = sum(len(m.text) for m in opening) / CHARS_A_TOKEN
    step = recipe.sampling.max_new_tokens + likely(recipe).observation
    return math.ceil(
        text + recipe.images.max_pixels / PIXELS_A_TOKEN + recipe.explore.max_steps * step
    )


def recipe_tools(recipe: Recipe) -> Iterator[tuple[Tool | None, str | None]]:
    """The tools of a recipe, each with what it lacks; ``None`` stands for what cannot be loaded.

    Each entry is loaded by itself, so that one that fails hides no other.
    """
    from sport.tools.builtin import BUILTIN
    from sport.tools.load import ToolNotFound, check_tools, load_tools

    if recipe.replay is not None:
        from sport.tools.replay import replayed_tools

        yield from ((t, None) for t in replayed_tools(recipe.path(recipe.replay)).values())
        return
    named: set[str] = set()
    for spec in recipe.tools:
        try:
            found = load_tools([spec], BUILTIN, recipe.root, recipe.tool, recipe.mcp, alone=True)
        except ToolNotFound as error:
            yield None, str(error)
            continue
        for name, tool in found.items():
            problem = f"tools: two tools are named {name!r}" if name in named else None
            named.add(name)
            try:
                check_tools([tool])
            except ToolNotFound as error:
                problem = str(error)
            yield tool, problem


def builtin_tools() -> Iterator[Finding]:
    """Every built-in tool by its defaults: ready, or what it lacks and how to get it."""
    from sport.tools.builtin import BUILTIN
    from sport.tools.load import ToolNotFound, check_tools, load_tools

    for name in BUILTIN:
        try:
            check_tools(load_tools([name], BUILTIN, Path()).values())
        except ToolNotFound as error:
            yield Finding(False, str(error))
        else:
            yield Finding(True, f"tool {name}: ready")


def _tools(recipe: Recipe) -> Iterator[Finding]:
    for tool, problem in recipe_tools(recipe):
        if problem is not None:
            yield Finding(False, problem)
        elif tool is not None:
            yield Finding(True, f"tool {tool.name}: ready")


def _rank_of_command(recipe: Recipe) -> Iterator[Finding]:
    """Whether a vLLM that the run starts takes the adapters that the run makes."""
    serve, server = recipe.policy.serve, recipe.policy.server
    if serve is None or server is None or not server.load_adapters:
        return
    rank = max(stage.lora.r for stage in recipe.tune)
    given = [*serve.command]
    allowed = _RANK
    if "--max-lora-rank" in given[:-1]:
        text = given[given.index("--max-lora-rank") + 1]
        allowed = int(text) if text.isdigit() else _RANK
    if allowed < rank:
        yield Finding(
            False,
            f"policy.serve.command allows adapters of rank {allowed}, and [[tune]] lora.r is "
            f'{rank}: add "--max-lora-rank", "{rank}"',
        )


def _family(recipe: Recipe, config: Any) -> Iterator[Finding]:
    from transformers.utils.import_utils import is_torchvision_available

    from sport.policy.image_only import IMAGE_ONLY

    kind = config.model_type
    if kind in IMAGE_ONLY and not is_torchvision_available():
        yield Finding(
            True,
            f"{kind}: torchvision is not installed, so pictures are read by the slower image "
            "processor of PIL; pip install torchvision on a machine with a GPU",
        )
    layers = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if recipe.policy.kind == "local" and (other := layers - {"full_attention"}):
        yield Finding(
            False,
            f"{kind}: LocalPolicy cannot sample from layers with {', '.join(sorted(other))}: serve "
            'the model, and set policy.kind = "chat" with a section [policy.server]',
        )
    if recipe.policy.quantize == "4bit" and find_spec("bitsandbytes") is None:
        yield Finding(False, 'quantize = "4bit" needs bitsandbytes: pip install bitsandbytes')


def _room(recipe: Recipe, config: Any, folder: Path) -> Iterator[Finding]:
    from sport.memory import footprint

    found = footprint(recipe, config)
    yield _memory(recipe, found.tuning, found.weights)
    # An adapter, and a checkpoint with its optimizer, a round; a merged model where one is served.
    copies = recipe.policy.serve is not None and not _loads(recipe)
    wanted = max(1, recipe.rounds) * (2 * found.adapter + (found.weights if copies else 0)) + _GIB
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    told = f"disk: about {wanted / _GIB:.1f} GiB for adapters, checkpoints and pictures"
    yield Finding(free > wanted, f"{told}; {free / _GIB:.0f} GiB are free in {folder}")


def _loads(recipe: Recipe) -> bool:
    return recipe.policy.server is not None and recipe.policy.server.load_adapters


def _memory(recipe: Recipe, tuning: float, weights: float) -> Finding:
    import psutil
    import torch

    told = f"memory: tuning needs about {tuning / _GIB:.1f} GiB, {weights / _GIB:.1f} of weights"
    if recipe.policy.device.startswith("cuda"):
        if not torch.cuda.is_available():
            return Finding(False, f"{told}, and policy.device is cuda: there is no such GPU here")
        total = torch.cuda.get_device_properties(recipe.policy.device).total_memory
    else:
        total = psutil.virtual_memory().total
    mend = (
        ""
        if total > 1.1 * tuning
        else ": lower token_budget in [[tune]], set gradient_checkpointing = true, or use quantize"
    )
    return Finding(not mend, f"{told}; there are {total / _GIB:.0f} GiB{mend} (computed)")
