"""``image_generator`` and ``image_edit`` by a diffusion pipeline, or by an images endpoint."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import aiohttp
import torch
from PIL import Image

from sport.remote.config import ServerSettings
from sport.remote.keys import Key
from sport.tools.images import load_rgb
from sport.tools.load import ToolNotFound
from sport.tools.made import made_png
from sport.tools.weights import OnFirstCall, model_kind, needs

_GENERATE = {"diffusers": "stabilityai/stable-diffusion-xl-base-1.0"}
_EDIT = {"diffusers": "timbrooks/instruct-pix2pix"}
_MOST_BYTES = 64 << 20
_MOST_PIXELS = 1_048_576
"""Larger pictures are edited smaller: pipelines are made for about a million pixels."""

Generator = Callable[[str], Path]
Editor = Callable[[str, Path], Path]


def generator_tool(make: Callable[[str], Image.Image]) -> Generator:
    """Makes an ``image_generator``."""

    def image_generator(prompt: str) -> Path:
        """Makes a picture from a description.

        Args:
            prompt: What is to be seen.

        Returns:
            Path of the picture.
        """
        return made_png(make(prompt), "generated.png")

    return image_generator


def editor_tool(edit: Callable[[str, Image.Image], Image.Image]) -> Editor:
    """Makes an ``image_edit``."""

    def image_edit(prompt: str, image_path: Path) -> Path:
        """Changes a picture as it is told to.

        Args:
            prompt: What to do, such as "make it snow".
            image_path: The picture.

        Returns:
            Path of the changed picture.
        """
        return made_png(edit(prompt, Image.fromarray(load_rgb(image_path))), "edited.png")

    return image_edit


def no_generator() -> Never:
    """Says what an ``image_generator`` needs.

    Raises:
        ToolNotFound: Always: no picture can be made without a model.
    """
    raise ToolNotFound(
        "[tool.image_generator] has no model behind it: give `model`, the folder of a diffusers "
        f"pipeline (`hf download {_GENERATE['diffusers']} --local-dir …`), or a section "
        "[tool.image_generator.server] with url and model"
    )


def pipeline_generator(
    model: Path, device: str = "cpu", steps: int = 30
) -> Callable[[str], Image.Image]:
    """Makes pictures by the text-to-image pipeline in a folder; equal prompts give equal ones.

    Raises:
        ToolNotFound: The package or the folder is missing.
    """
    loaded = _pipeline("image_generator", model, device, _GENERATE)

    def make(prompt: str) -> Image.Image:
        with loaded.use() as pipeline, torch.inference_mode():
            return _first(pipeline(prompt, **_options(pipeline, prompt, steps)))

    return make


def pipeline_editor(
    model: Path, device: str = "cpu", steps: int = 30
) -> Callable[[str, Image.Image], Image.Image]:
    """Edits pictures by a pipeline that takes a prompt and a picture, such as InstructPix2Pix.

    Raises:
        ToolNotFound: The package or the folder is missing.
    """
    loaded = _pipeline("image_edit", model, device, _EDIT)

    def edit(prompt: str, image: Image.Image) -> Image.Image:
        with loaded.use() as pipeline, torch.inference_mode():
            fitted = _fitted(image, 8)
            return _first(pipeline(prompt, image=fitted, **_options(pipeline, prompt, steps)))

    return edit


def endpoint_generator(server: ServerSettings) -> Callable[[str], Image.Image]:
    """Makes pictures by a server that speaks the OpenAI images API.

    Raises:
        ToolNotFound, RemoteError: The server's model or key is missing.
    """
    key = _checked(server, "image_generator")

    def make(prompt: str) -> Image.Image:
        body = {"model": server.model, "prompt": prompt, "n": 1, **server.extra}
        return asyncio.run(_ask(server, key, "/images/generations", {"json": body}))

    return make


def endpoint_editor(server: ServerSettings) -> Callable[[str, Image.Image], Image.Image]:
    """Edits pictures by a server that speaks the OpenAI images API.

    Raises:
        ToolNotFound, RemoteError: The server's model or key is missing.
    """
    key = _checked(server, "image_edit")

    def edit(prompt: str, image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        _fitted(image, 1).save(buffer, "PNG")
        form = aiohttp.FormData({"prompt": prompt, "model": str(server.model), "n": "1"})
        form.add_field("image", buffer.getvalue(), filename="image.png", content_type="image/png")
        return asyncio.run(_ask(server, key, "/images/edits", {"data": form}))

    return edit


def _pipeline(tool: str, model: Path, device: str, examples: dict[str, str]) -> OnFirstCall[Any]:
    needs(tool, "diffusers", "diffusion")
    model_kind(tool, model, examples)

    def load() -> Any:
        from diffusers import DiffusionPipeline

        pipeline = DiffusionPipeline.from_pretrained(model, local_files_only=True).to(device)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return OnFirstCall(load)


def _options(pipeline: Any, prompt: str, steps: int) -> dict[str, Any]:
    """Options of a pipeline's call; the seed follows from the prompt."""
    seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
    generator = torch.Generator("cpu").manual_seed(seed)
    known = inspect.signature(pipeline.__call__).parameters
    options = {"generator": generator, "num_inference_steps": steps, "output_type": "pil"}
    return {name: value for name, value in options.items() if name in known}


def _first(output: Any) -> Image.Image:
    image: Image.Image = output.images[0]
    return image.convert("RGB")


def _fitted(image: Image.Image, multiple: int) -> Image.Image:
    """A picture of at most a million pixels whose sides are multiples of a number."""
    shrink = min(1.0, (_MOST_PIXELS / (image.width * image.height)) ** 0.5)
    sides = (max(multiple, int(v * shrink) // multiple * multiple) for v in image.size)
    width, height = sides
    return image if (width, height) == image.size else image.resize((width, height))


def _checked(server: ServerSettings, tool: str) -> Key:
    if server.model is None:
        raise ToolNotFound(f"[tool.{tool}.server] model is missing: name the model of the server")
    return Key.read(server.key_env)


async def _ask(server: ServerSettings, key: Key, path: str, content: dict[str, Any]) -> Image.Image:
    """The picture that a server answers.

    Raises:
        RuntimeError: It answers none.
    """
    timeout = aiohttp.ClientTimeout(total=server.attempt_timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=key.headers()) as session,
            session.post(f"{server.url}{path}", allow_redirects=False, **content) as answer,
        ):
            data = await answer.content.read(_MOST_BYTES)
            while not answer.content.at_eof() and len(data) < _MOST_BYTES:
                data += await answer.content.read(_MOST_BYTES)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RuntimeError(
            f"{server.url} does not answer: {key.hide(str(error)) or type(error).__name__}"
        ) from None
    if answer.status != 200:
        said = key.hide(data[:300].decode("utf-8", "replace"))
        raise RuntimeError(f"{server.url} answered {answer.status}: {said}")
    return _decoded(server.url, data)


def _decoded(url: str, data: bytes) -> Image.Image:
    try:
        encoded = json.loads(data)["data"][0]["b64_json"]
        image = Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG", "JPEG", "WEBP"))
        return image.convert("RGB")
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise RuntimeError(
            f"{url} answered no picture as data[0].b64_json ({type(error).__name__}); where it "
            'gives addresses, set extra = {response_format = "b64_json"}'
        ) from None
