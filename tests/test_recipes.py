"""The recipes for large models are whole: they load, agree with the paper, and fit together."""

from pathlib import Path

import pytest

from sport.checks import _rank_of_command
from sport.recipes import load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = sorted(p.name for p in RECIPES.glob("*.toml"))


def test_they_are_there() -> None:
    assert NAMES == ["own-images.toml", "paper.toml", "qwen3vl.toml", "sport.toml", "t3.toml"]


@pytest.mark.parametrize("name", NAMES)
def test_they_load_and_reach_their_servers(name: str) -> None:
    recipe = load_recipe(str(RECIPES / name))
    assert recipe.servers() and recipe.policy.prompt == "code_agent"
    serve = recipe.policy.serve
    if serve is not None:
        assert "{model}" in serve.command and "{port}" in serve.command
        assert recipe.policy.server is not None
        assert recipe.policy.server.load_adapters and "--enable-lora" in serve.command
    assert recipe.tune[-1].lora.r == 64 and recipe.tune[-1].lora.alpha == 16


@pytest.mark.parametrize("name", ["paper.toml", "sport.toml"])
def test_the_papers_settings(name: str) -> None:
    recipe = load_recipe(str(RECIPES / name))
    assert (
        recipe.sampling.temperatures == (0.7, 1.2, 1.2, 1.2, 1.2) and recipe.sampling.top_p == 0.8
    )
    assert (recipe.explore.max_steps, recipe.explore.max_errors) == (8, 5)
    assert recipe.policy.model == "Qwen/Qwen2-VL-7B-Instruct"
    assert recipe.verifier.server is not None and not recipe.verifier.images
    assert recipe.verifier.server.model == "Qwen/Qwen2.5-7B-Instruct"


def test_sport_starts_where_t3_ends() -> None:
    t3, sport = (load_recipe(str(RECIPES / name)) for name in ("t3.toml", "sport.toml"))
    assert t3.policy.model == sport.policy.model and t3.verifier.kind == "none"
    assert sport.policy.adapter == "../runs/t3/adapters/r1-sft"
    start = sport.path(sport.policy.adapter).resolve()
    assert start == RECIPES.parent / "runs" / "t3" / "adapters" / "r1-sft"


def test_a_rank_that_the_server_is_not_started_for_is_found() -> None:
    whole = load_recipe(str(RECIPES / "paper.toml"))
    assert list(_rank_of_command(whole)) == []
    assert whole.policy.serve is not None
    without = [p for p in whole.policy.serve.command if p not in ("--max-lora-rank", "64")]
    lacking = load_recipe(
        str(RECIPES / "paper.toml"), [f"policy.serve.command={without!r}".replace("'", '"')]
    )
    [finding] = _rank_of_command(lacking)
    assert not finding.good and '"--max-lora-rank", "64"' in finding.text
