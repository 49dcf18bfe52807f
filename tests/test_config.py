"""Recipes: what is read, and what is said of one that cannot be."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from sport.config import Recipe, RecipeError
from sport.recipes import differences, load_recipe, parse_recipe


def recipe_file(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(text)
    return str(file)


def error_of(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file(folder, text), overrides)
    return str(caught.value)


def test_a_minimal_recipe_takes_its_name_and_root_from_its_file(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, 'tasks = "tasks.jsonl"'))
    assert recipe.name == "mine"
    assert recipe.path("tasks.jsonl") == tmp_path / "tasks.jsonl"


def test_what_is_written_out_reads_back_equal(tmp_path: Path) -> None:
    text = '[synthesis]\ntasks_per_round = 7\n[[tune]]\nkind = "sft"\n[[tune]]\nkind = "dpo"'
    recipe = load_recipe(recipe_file(tmp_path, text), ["seed=3"])
    again = load_recipe(recipe_file(tmp_path, recipe.to_toml()))
    assert again == recipe
    assert differences(recipe, again) == []


def test_an_unknown_key_names_the_file_and_the_nearest_known_key(tmp_path: Path) -> None:
    message = error_of(tmp_path, "[synthesis]\n[explore]\nmax_step = 3")
    assert "mine.toml" in message
    assert "'explore.max_step'" in message
    assert "'max_steps'" in message


def test_an_unknown_section_names_the_nearest(tmp_path: Path) -> None:
    assert "'synthesis'" in error_of(tmp_path, "[sinthesis]")


def test_an_unknown_key_of_a_stage_is_found(tmp_path: Path) -> None:
    message = error_of(tmp_path, '[synthesis]\n[[tune]]\nkind = "dpo"\nbetta = 0.2')
    assert "'tune.1.betta'" in message
    assert "'beta'" in message


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    message = error_of(tmp_path, "rounds = -1\n[synthesis]\n[policy]\nbatch_rows = 0")
    assert "rounds" in message and "policy.batch_rows" in message


def test_more_steps_than_the_walls_nest_are_refused(tmp_path: Path) -> None:
    message = error_of(tmp_path, "[synthesis]\n[explore]\nmax_steps = 15")
    assert "explore.max_steps" in message and "14" in message


@pytest.mark.parametrize("text", ["", 'tasks = "t.jsonl"\n[synthesis]'])
def test_tasks_come_from_exactly_one_place(tmp_path: Path, text: str) -> None:
    assert "exactly one place" in error_of(tmp_path, text)


def test_a_stage_needs_a_kind_that_exists(tmp_path: Path) -> None:
    assert 'kind = "dpo"' in error_of(tmp_path, '[synthesis]\n[[tune]]\nkind = "ppo"')


def test_overrides_are_toml_values_and_bare_words_are_text(tmp_path: Path) -> None:
    overrides = ["synthesis.tasks_per_round=9", "sampling.temperatures=[0.5, 1.0]", "name=trial"]
    recipe = load_recipe(recipe_file(tmp_path, "[synthesis]"), overrides)
    assert recipe.synthesis is not None and recipe.synthesis.tasks_per_round == 9
    assert recipe.sampling.temperatures == (0.5, 1.0)
    assert recipe.name == "trial"


@pytest.mark.parametrize("override", ["rounds", "=2", "seed.x=1"])
def test_an_override_that_is_none_is_refused(tmp_path: Path, override: str) -> None:
    assert f"-o {override}" in error_of(tmp_path, "seed = 1\n[synthesis]", (override,))


def test_a_path_given_on_the_command_line_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "other.jsonl").write_text("")
    monkeypatch.chdir(here)
    recipe = load_recipe(recipe_file(tmp_path, 'tasks = "a.jsonl"'), ["tasks=other.jsonl"])
    assert recipe.tasks == str(here / "other.jsonl")


def test_a_recipe_that_is_not_there_names_the_nearest_built_in_one() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'pocket'"):
        load_recipe("poket")


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    assert "not valid TOML" in error_of(tmp_path, "rounds = ")


@pytest.mark.parametrize("name", ["pocket", "pocket-quick"])
def test_the_built_in_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).name == name


def test_data_is_validated_like_a_file() -> None:
    with pytest.raises(RecipeError, match="here: rounds"):
        parse_recipe({"rounds": "many", "synthesis": {}}, "here")


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, and all models that its fields hold."""
    yield model
    for field in model.model_fields.values():
        pending = [field.annotation]
        while pending:
            kind = pending.pop()
            pending.extend(get_args(kind))
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind)


def test_every_key_is_documented() -> None:
    missing = [
        f"{model.__name__}.{name}"
        for model in sections(Recipe)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert missing == []
