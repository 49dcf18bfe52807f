"""Making and changing pictures: by pipelines of the real classes, and by an images endpoint."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

import tiny_models
from sport.recipes import load_recipe
from sport.remote.config import ServerSettings
from sport.tools.builtin import BUILTIN
from sport.tools.config import ToolSettings
from sport.tools.function import Tool
from sport.tools.load import ToolNotFound, load_tools
from sport.workbench import Workbench

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    tiny_models.diffusion(root / "generator")
    tiny_models.diffusion(root / "editor", edits=True)
    return root


def made(name: str, root: Path, **options: Any) -> Tool:
    return load_tools([name], BUILTIN, root, {name: ToolSettings(**options)})[name]


def call(tool: Tool, workspace: Path, *args: Any) -> np.ndarray:
    name = tool(workspace, tool.bind(args, {}))
    return np.asarray(Image.open(workspace / str(name)))


def test_a_pipeline_makes_pictures_that_follow_from_the_prompt(
    models: Path, tmp_path: Path
) -> None:
    tool = made("image_generator", models, model="generator", steps=2)
    first, again = call(tool, tmp_path, "a red house"), call(tool, tmp_path, "a red house")
    assert first.shape == (16, 16, 3) and np.array_equal(first, again)
    assert not np.array_equal(first, call(tool, tmp_path, "a blue house"))


def test_a_pipeline_changes_pictures(models: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70, 41), "red").save(tmp_path / "p.png")
    tool = made("image_edit", models, model="editor", steps=2)
    changed = call(tool, tmp_path, "make it snow", "p.png")
    assert changed.shape == (40, 64, 3)
    assert not np.array_equal(changed, call(tool, tmp_path, "make it rain", "p.png"))


def test_a_generator_without_a_model_says_what_to_configure(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'tools = ["ocr", "image_generator"]\nrounds = 0\n[synthesis]\n'
    )
    with pytest.raises(ToolNotFound, match=r"give `model`.*\[tool.image_generator.server\]"):
        Workbench(load_recipe(str(tmp_path / "r.toml"))).check()


@pytest.mark.parametrize("tool", ["image_generator", "image_edit"])
def test_a_missing_pipeline_is_told_before_the_run(tool: str, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(ToolNotFound, match=rf"\[tool.{tool}\] model.*has no model_index.json"):
        made(tool, tmp_path, model="weights")


@pytest.fixture
def server() -> Iterator[dict[str, Any]]:
    """An images endpoint: green pictures, and what it was asked."""
    state: dict[str, Any] = {"asked": [], "status": 200, "body": None}
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (0, 128, 0)).save(buffer, "PNG")
    picture = {"data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]}

    async def respond(request: web.Request) -> web.Response:
        body = await (request.post() if "multipart" in request.content_type else request.json())
        content = {k: v.file.read() if hasattr(v, "file") else v for k, v in body.items()}
        state["asked"].append((request.path, content, request.headers.get("Authorization")))
        return web.json_response(state["body"] or picture, status=state["status"])

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_post("/v1/images/{kind}", respond)
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield state
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_an_endpoint_makes_and_changes_pictures(
    server: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGES_KEY", "s3cret")
    settings = ServerSettings(url=server["url"], model="painter", key_env="IMAGES_KEY")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "p.png")
    generate, edit = (BUILTIN[n](server=settings) for n in ("image_generator", "image_edit"))
    assert call(generate, tmp_path, "a lawn").shape == (24, 32, 3)
    assert tuple(call(edit, tmp_path, "make it green", "p.png")[0, 0]) == (0, 128, 0)
    (path, body, key), (edit_path, form, _) = server["asked"]
    assert (path, body["prompt"], key) == ("/v1/images/generations", "a lawn", "Bearer s3cret")
    assert edit_path == "/v1/images/edits" and form["prompt"] == "make it green"
    assert Image.open(io.BytesIO(form["image"])).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, {"error": "no s3cret"}, r"answered 500: .*no \[key\]"),
        (200, {"data": [{"url": "http://x"}]}, "response_format"),
        (200, {"data": [{"b64_json": "AAAA"}]}, "answered no picture"),
    ],
)
def test_an_endpoint_that_fails_is_told(
    status: int, body: Any, message: str, server: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("IMAGES_KEY", "s3cret")
    server |= {"status": status, "body": body}
    settings = ServerSettings(url=server["url"], model="painter", key_env="IMAGES_KEY")
    with pytest.raises(RuntimeError, match=message):
        call(BUILTIN["image_generator"](server=settings), tmp_path, "a lawn")
