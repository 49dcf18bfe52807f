"""From the options of `sport eval` to the recipe of an evaluation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sport.config import Recipe, RecipeError
from sport.evals.published import published_row
from sport.recipes import apply_overrides, find_recipe, parse_recipe

REPLAYS = {"replay": "gta", "replay-paper": "paper"}
"""Tool sets that answer from GTA's recordings, as --tools names them."""

_OF_THE_POLICY = (
    "policy",
    "sampling",
    "explore",
    "sandbox",
    "verifier",
    "images",
    "budget",
    "tools",
)
_LONGEST_CHAIN = 14


def evaluation_recipe(
    policy: str,
    benchmark: Mapping[str, Any],
    *,
    agent: str | None = None,
    tools: Sequence[str] = (),
    verifier: str | None = None,
    round: int | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe of an evaluation.

    Args:
        policy: Whose controller: a run's folder, a recipe's file, ``FILE.py:NAME``, ``gold``, or a
            model's folder or name.
        benchmark: The section ``[benchmark]``; what is ``None`` is left out.
        agent: How it acts; the recipe's, or ``code``.
        tools: Names of tools, or one of :data:`REPLAYS`.
        verifier: Kind of the verifier of best-of-n.
        round: Of a run: whose policy; the last one where it is ``None``.
        overrides: As for :func:`sport.recipes.load_recipe`.

    Raises:
        RecipeError: All that is wrong with it.
    """
    section = {k: v for k, v in benchmark.items() if v is not None}
    data = _of_row(section["like"]) if section.get("like") else {}
    data = _merged(data, _of_policy(policy, round)) if policy else data
    if not data:
        raise RecipeError("whose controller? Give --policy, or a published row with --like")
    trained_in = data.pop("trained_in", None)
    data |= {"rounds": 0, "benchmark": section | ({"trained_in": trained_in} if trained_in else {})}
    data["name"] = f"eval-{section['name']}"
    if agent:
        data["agent"] = agent
    if len(tools) == 1 and tools[0] in REPLAYS:
        data["benchmark"]["replay"] = REPLAYS[tools[0]]
    elif tools:
        data["tools"] = list(tools)
    # A sample a step, greedily, is what is evaluated; more only where they are asked for (D6).
    n = section.get("best_of", 1)
    if n > 1:
        if verifier is None:
            raise RecipeError("--best-of needs a --verifier, which chooses among the candidates")
        data["sampling"] = {**data.get("sampling", {}), "temperatures": [0.7, *[1.2] * (n - 1)]}
    if verifier and verifier != data.get("verifier", {}).get("kind", "rubric"):
        data["verifier"] = {"kind": verifier}
    data.setdefault("root", str(Path.cwd()))
    return parse_recipe(apply_overrides(data, overrides), f"sport eval {section['name']}")


def _of_row(name: str) -> dict[str, Any]:
    """What reproduces a published row."""
    setup = published_row(name).setup
    if not setup:
        raise RecipeError(f"the published row {name!r} does not say how it was made")
    return dict(setup)


def _of_policy(policy: str, round: int | None) -> dict[str, Any]:
    """The part of a recipe that makes its controller."""
    path = Path(policy)
    if policy == "gold":
        return {"policy": {"kind": "gold"}, "explore": {"max_steps": _LONGEST_CHAIN}}
    if ".py:" in policy or (":" in policy and not path.exists() and "/" not in policy):
        file, _, name = policy.rpartition(":")
        script = Path(file)
        root = {"root": str(script.parent.absolute())} if script.suffix == ".py" else {}
        spec = f"{script.stem if root else file}:{name}"
        return {"policy": {"kind": "script", "model": spec, "prompt": "code_agent"}, **root}
    if (path / "config.toml").is_file():
        return _of_run(path, round)
    if path.suffix == ".toml" and path.is_file():
        return _of_recipe(path)
    if policy == "pocket":
        return _of_recipe(find_recipe("pocket"))
    found = str(path.absolute()) if path.is_dir() else policy
    return {"policy": {"model": found, "prompt": "code_agent"}}


def _of_run(folder: Path, round: int | None) -> dict[str, Any]:
    from sport.store import Run

    run = Run.open(folder)
    data = run.recipe.model_dump(mode="json", exclude_none=True)
    kept = {key: data[key] for key in (*_OF_THE_POLICY, "seed", "root")}
    adapter = run.adapter(round)
    kept["policy"].pop("adapter", None)
    if adapter is not None:
        kept["policy"]["adapter"] = str(adapter)
    settings = run.recipe.benchmark
    trained = settings.trained_in if settings else str(run.path) if adapter else None
    return {**kept, **({"trained_in": trained} if trained else {})}


def _of_recipe(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: this is not valid TOML: {error}") from None
    root = {"root": str((file.parent / data.get("root", ".")).absolute())}
    kept = {k: v for k, v in data.items() if k in (*_OF_THE_POLICY, "seed", "agent")}
    return {**kept, **root}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two recipes in one; sections are merged key by key."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged
