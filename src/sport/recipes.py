"""Recipes: one TOML file says what a run does.

A recipe is validated before anything starts: an unknown key names the nearest known one. Paths
are relative to the recipe's file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from sport.config import DPOStage, PolicySettings, Recipe, RecipeError, SFTStage
from sport.synthesis.config import CaptionSettings, GrammarSettings, LLMSettings

BUILT_IN = Path(__file__).parent / "pocket"
"""Folder of the recipes that are shipped: ``pocket`` and ``pocket-quick``."""

RUN_RECIPE = "config.toml"
"""The recipe in a run's folder, every default written out."""

_PATHS = frozenset(
    {
        "tasks",
        "replay",
        "benchmark.data",
        "policy.model",
        "policy.adapter",
        "verifier.prompt",
        "keep.prompt",
        "synthesis.seeds",
        "synthesis.library",
        "synthesis.embedder",
    }
)


class _Tag(NamedTuple):
    """Where pydantic puts the kind of a section into a location, and what each kind is."""

    place: int
    models: Mapping[str, type[BaseModel]]


_TAGS = {
    "tune": _Tag(2, {"dpo": DPOStage, "sft": SFTStage}),
    "synthesis": _Tag(
        1, {"grammar": GrammarSettings, "captions": CaptionSettings, "llm": LLMSettings}
    ),
}


def find_recipe(recipe: str) -> Path:
    """The file of a recipe: a path, a run's folder, which holds its own, or a built-in one's name.

    Raises:
        RecipeError: There is none.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    if is_run(path):
        return path / RUN_RECIPE
    built_in = BUILT_IN / f"{recipe}.toml"
    if built_in.is_file():
        return built_in
    known = sorted(p.stem for p in BUILT_IN.glob("*.toml"))
    if path.is_dir():
        raise RecipeError(f"{path} is neither a recipe nor a run: it has no {RUN_RECIPE}.")
    hint = _nearest(recipe, known)
    raise RecipeError(
        f"There is no recipe {recipe!r}: it is neither a file, nor the folder of a run, nor a "
        f"built-in one ({', '.join(known)}).{hint}"
    )


def is_run(path: Path) -> bool:
    """Whether a folder is a run's: it holds the recipe that it was made by."""
    return (path / RUN_RECIPE).is_file()


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and applies overrides.

    Args:
        recipe: Path of a TOML file or of a run's folder, or a built-in name.
        overrides: Such as ``explore.max_steps=4``; values are TOML, and bare words are text. A
            path given here is relative to the working directory.

    Raises:
        RecipeError: All that is wrong with it.
    """
    file = find_recipe(recipe)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: this is not valid TOML: {error}") from None
    data = apply_overrides(data, overrides)
    data.setdefault("name", file.stem)
    root = data.get("root", ".")
    if isinstance(root, str):
        data["root"] = str((file.parent / root).absolute())
    return parse_recipe(data, str(file))


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A recipe's data with overrides such as ``explore.max_steps=4``.

    Raises:
        RecipeError: An override is none.
    """
    for override in overrides:
        _override(data, override)
    return data


def with_teacher(recipe: Recipe, teacher: str) -> Recipe:
    """A recipe that explores with another policy: a model, or the policy of another recipe.

    Raises:
        RecipeError: The other recipe is not one.
    """
    if not teacher.endswith(".toml"):
        return with_student(recipe, teacher)
    other = load_recipe(teacher)
    policy = other.policy
    places = {
        name: str(other.path(value))
        for name, value in (("model", policy.model), ("adapter", policy.adapter))
        if value is not None and other.path(value).exists()
    }
    return recipe.model_copy(update={"policy": policy.model_copy(update=places)})


def with_student(recipe: Recipe, model: str) -> Recipe:
    """A recipe whose policy is another model, loaded on this machine as the recipe's would be."""
    same = recipe.policy.model_dump(exclude={"kind", "server", "serve", "model", "adapter"})
    folder = os.path.abspath(model) if Path(model).is_dir() else model
    return recipe.model_copy(update={"policy": PolicySettings(model=folder, **same)})


def parse_recipe(data: Mapping[str, Any], source: str) -> Recipe:
    """Validates a recipe's data; ``source`` is what errors call it.

    Raises:
        RecipeError: All that is wrong with it, one line each.
    """
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = [_problem(e["loc"], e["type"], e["msg"], e["input"]) for e in error.errors()]
        raise RecipeError("\n".join(f"{source}: {p}" for p in problems)) from None


def differences(a: Recipe, b: Recipe) -> list[str]:
    """The dotted keys in which two recipes differ."""
    flat_a, flat_b = _flatten(a.model_dump(mode="json")), _flatten(b.model_dump(mode="json"))
    return sorted(k for k in flat_a.keys() | flat_b.keys() if flat_a.get(k) != flat_b.get(k))


def _override(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    key, text = key.strip(), text.strip()
    if not separator or not key:
        raise RecipeError(f"-o {override}: an override is `key=value`, as in -o rounds=2")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if key in _PATHS and isinstance(value, str) and Path(value).exists():
        value = os.path.abspath(value)
    *parents, last = key.split(".")
    section = data
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise RecipeError(f"-o {override}: {parent!r} is not a section with keys of its own")
    section[last] = value


def _problem(loc: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    """One line on one thing that is wrong."""
    # A tagged union puts its tag into the location; the recipe has no such key.
    tag = _TAGS.get(str(loc[0])) if loc else None
    keys = [k for i, k in enumerate(loc) if not (tag and i == tag.place and k in tag.models)]
    where = ".".join(str(k + 1) if isinstance(k, int) else k for k in keys)
    if kind == "extra_forbidden":
        known = _known_keys(loc[:-1])
        return f"unknown key {where!r}.{_nearest(str(loc[-1]), known)} Known: {', '.join(known)}."
    if kind == "value_error":
        where = f"{where}: " if len(keys) > 1 else ""
        return where + message.removeprefix("Value error, ")
    if kind.startswith("union_tag") and tag is not None:
        kinds = " or ".join(f'kind = "{name}"' for name in tag.models)
        return f"{where}: give {kinds}"
    shown = f" (it is {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{where}: {message[:1].lower()}{message[1:]}{shown}"


def _known_keys(loc: Iterable[int | str]) -> list[str]:
    """The keys of the section at a location."""
    model: type[BaseModel] = Recipe
    places = tuple(loc)
    tag = _TAGS.get(str(places[0])) if places else None
    for place, key in enumerate(places):
        if tag is not None and place == tag.place and key in tag.models:
            model = tag.models[str(key)]
        elif isinstance(key, str) and key in model.model_fields:
            annotation = model.model_fields[key].annotation
            for kind in (annotation, *get_args(annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    model = kind
    return sorted(model.model_fields)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def _flatten(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    return {
        k: v
        for key, value in data.items()
        for k, v in _flatten(value, f"{prefix}.{key}" if prefix else key).items()
    }
