"""What a recipe declares of its tools, and what the commands tell of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sport.cli import app
from sport.recipes import RecipeError, load_recipe, parse_recipe
from sport.sandbox import ForkSandbox
from sport.tools.base import Tool, ToolNotFound, load_tools, tool
from sport.tools.builtin import BUILTIN
from sport.tools.cache import ToolCache
from sport.tools.config import ToolSettings
from sport.workbench import Workbench


def detector(model: Path | None = None, threshold: float = 0.5) -> Tool:
    def detect(image_path: Path) -> str:
        """Detects."""
        return f"{model and model.name} {threshold}"

    return Tool(detect)


def settings(**keys: object) -> dict[str, ToolSettings]:
    return {"detect": ToolSettings.model_validate(keys)}


MAKERS = {"detect": detector}


def test_a_recipe_declares_properties_and_options(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    declared = settings(timeout_s=3, concurrency=1, cost=0.1, model="weights", threshold=1)
    made = load_tools(["detect"], MAKERS, tmp_path, declared)["detect"]
    assert (made.timeout_s, made.concurrency, made.cost) == (3, 1, 0.1)
    assert made(tmp_path, {"image_path": "a.png"}) == "weights 1.0"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "wieghts"}, r"\[tool.detect\] model: there is nothing at .*/wieghts"),
        ({"treshold": 1}, r"\[tool.detect\]: unknown key 'treshold'. Did you mean 'threshold'"),
        ({"threshold": "high"}, r"\[tool.detect\] threshold: .*valid number"),
        ({"deterministic": True, "side_effects": True}, r"\[tool.detect\]: .*has side effects"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ToolNotFound, match=message):
        load_tools(["detect"], MAKERS, tmp_path, settings(**keys))


def test_settings_of_no_tool_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFound, match=r"\[tool.detect\]: there is no such tool"):
        load_tools([], MAKERS, tmp_path, settings(cost=1))


def test_tools_that_cannot_be_what_they_say() -> None:
    with pytest.raises(TypeError, match="has side effects"):
        tool(side_effects=True, deterministic=True)(print_nothing)
    with pytest.raises(TypeError, match="must be positive"):
        Tool(print_nothing, concurrency=0)


def print_nothing() -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mcp.x]\n", "mcp.x: an MCP server has either a command or a url"),
        ('[mcp.x]\ncommand = ["a"]\nenv = ["K=v"]\n', "names of variables, not values: write 'K'"),
        ('[mcp.x]\nurl = "ftp://a"\n', "mcp.x.url"),
        ('[mcp.x]\ncomand = ["a"]\n', "unknown key 'mcp.x.comand'"),
        ("[tool.ocr]\ntimeout_s = 0\n", "tool.ocr.timeout_s: input should be greater than 0"),
        ('[explore]\nside_effects = "all"\n', "explore.side_effects"),
    ],
)
def test_recipes_that_do_not_hold(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.toml").write_text('tasks = "tasks.jsonl"\n' + text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(tmp_path / "recipe.toml"))


def test_a_recipe_with_tools_survives_its_run_folder(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        'tasks = "tasks.jsonl"\n[tool.ocr]\ntimeout_s = 5\nboxes = true\n'
        '[mcp.x]\ncommand = ["a", "b"]\nenv = ["K"]\n'
    )
    first = load_recipe(str(tmp_path / "recipe.toml"))
    assert first.tool["ocr"].options == {"boxes": True}
    assert first.secret_names() == {"K"}
    (tmp_path / "config.toml").write_text(first.to_toml())
    assert load_recipe(str(tmp_path)).model_dump() == first.model_dump()


def test_the_keys_of_a_tools_own_servers_are_secrets() -> None:
    file = """
tasks = "tasks.jsonl"
[tool.ask_search_agent]
provider = "serper"
key_env = "ENGINE"
[tool.visualizer.server]
url = "http://127.0.0.1:9/v1"
model = "eyes"
key_env = "EYES"
"""
    assert parse_recipe(tomllib.loads(file), "r").secret_names() == {"ENGINE", "EYES"}


def test_the_list_tells_what_is_ready_and_what_is_lacking(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from sport.tools.base import Tool, tool\n"
        "@tool(side_effects=True, concurrency=2, cost=0.5, version='7')\n"
        "def send(to: str) -> None:\n    '''Sends.'''\n"
        "def lacking():\n    raise FileNotFoundError('the weights are missing: get them at X')\n"
        "def look() -> str:\n    return ''\n"
        "see = Tool(look, name='see', ready=lacking)\n"
    )
    (tmp_path / "recipe.toml").write_text(
        'tasks = "tasks.jsonl"\ntools = ["ocr", "mine:send", "mine:see", "mine:nothing", "mcp:x"]\n'
        '[mcp.x]\ncommand = ["no-such-command"]\n'
    )
    listed = CliRunner().invoke(app, ["tools", "list", str(tmp_path / "recipe.toml")])
    assert listed.exit_code == 1
    lines = [line.strip() for line in listed.output.splitlines()]
    assert "ok ocr(image_path: str, boxes: bool = False) -> str | list[dict[str, Any]]" in lines
    assert "ok send(to: str) -> None" in lines
    told = "side effects, not deterministic, at most 60 s, 2 at once, costs 0.5, version 7"
    assert f"{told}, from mine:send" in lines
    assert "tools: 'see' is not ready: the weights are missing: get them at X" in lines
    assert any(line.startswith("-- tools: 'mine:nothing': mine has no 'nothing'") for line in lines)
    assert any("'mcp:x'" in line and "cannot be reached" in line for line in lines)
    with pytest.raises(ToolNotFound, match="'mine:nothing'"):
        Workbench(load_recipe(str(tmp_path / "recipe.toml"))).check()


def test_the_doctor_knows_every_tool(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["doctor"]).output.splitlines()
    for name in BUILTIN:
        assert any(f"tool {name}: ready" in line or f"'{name}'" in line for line in told), name
    (tmp_path / "mine.py").write_text("def one() -> str:\n    return ''\n")
    (tmp_path / "recipe.toml").write_text(
        'tasks = "t.jsonl"\ntools = ["mine:one", "mine:two", "mcp:x"]\n'
        '[mcp.x]\ncommand = ["mcp-server-time"]\n[tool.one]\ncost = 1\n'
    )
    told = CliRunner().invoke(app, ["doctor", str(tmp_path / "recipe.toml")]).output.splitlines()
    for name in ("one", "get_current_time", "convert_time"):
        assert f"ok tool {name}: ready" in told
    assert any(line.startswith("-- tools: 'mine:two': mine has no 'two'") for line in told)


def test_what_is_lacking_stops_a_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from sport.tools.base import Tool\n"
        "def lacking():\n    raise FileNotFoundError('the weights are missing')\n"
        "def look() -> str:\n    return ''\n"
        "one, two = (Tool(look, name=n, ready=lacking) for n in ('one', 'two'))\n"
    )
    (tmp_path / "recipe.toml").write_text(
        'tasks = "tasks.jsonl"\ntools = ["mine:one", "ocr", "mine:two"]\n'
    )
    with pytest.raises(ToolNotFound) as caught:
        Workbench(load_recipe(str(tmp_path / "recipe.toml"))).check()
    assert str(caught.value).splitlines() == [
        f"tools: {name!r} is not ready: the weights are missing" for name in ("one", "two")
    ]


async def test_candidates_that_ask_the_same_pay_once(pictures: Path) -> None:
    cache = ToolCache()
    tools = cache.wrap([BUILTIN["ocr"]()])
    same = ["print(len(ocr('receipt.png')))"] * 5
    async with ForkSandbox(tools) as sandbox:
        base = await sandbox.open(pictures)
        outcomes = await sandbox.run(base, same)
        [count] = cache.store.counts()
        assert (count.asked, count.called, count.shared + count.cached) == (5, 1, 4)
        await sandbox.run(base, ["ocr('receipt.png')", "ocr('copy.png')", "ocr('other.png')"])
    assert len({o.stdout for o in outcomes}) == 1
    [count] = cache.store.counts()
    assert (count.asked, count.called) == (8, 2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image, ImageDraw

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, text in (("receipt", "apples 3.20"), ("other", "pears 4.10")):
        picture = Image.new("RGB", (240, 60), "white")
        ImageDraw.Draw(picture).text((20, 15), text, fill="black", font_size=28)
        picture.save(folder / f"{name}.png")
    (folder / "copy.png").write_bytes((folder / "receipt.png").read_bytes())
    return folder
