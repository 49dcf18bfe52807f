"""A language model behind a server, asked by a tool."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.remote.keys import Key
from sport.tools.images import load_rgb
from sport.tools.load import ToolNotFound

_MOST_PIXELS = 2_000_000
"""Larger pictures are sent smaller."""


class Endpoint:
    """Asks the model of one server, from any thread."""

    def __init__(self, server: ServerSettings, tool: str) -> None:
        """Checks that the model is named and the key is there.

        Args:
            server: Where and how to ask.
            tool: The tool that asks.

        Raises:
            ToolNotFound: The server's `model` is missing.
            RemoteError: The key is not there.
        """
        if server.model is None:
            raise ToolNotFound(
                f"[tool.{tool}.server] model is missing: name the model that answers"
            )
        Key.read(server.key_env)
        self._server, self._tool, self._model = server, tool, server.model

    def ask(
        self, text: str, image: Path | None = None, system: str = "", max_tokens: int = 512
    ) -> str:
        """The model's answer at temperature 0.

        Raises:
            ImageError: The picture cannot be opened.
            RuntimeError: The server does not answer, or refuses.
        """
        content: Any = text
        if image is not None:
            address = {"url": _data_uri(image)}
            content = [{"type": "image_url", "image_url": address}, {"type": "text", "text": text}]
        first = [{"role": "system", "content": system}] if system else []
        messages = [*first, {"role": "user", "content": content}]
        return self.converse(messages, max_tokens)

    def converse(self, messages: list[dict[str, Any]], max_tokens: int = 512) -> str:
        """The model's next turn in a conversation; see :meth:`ask`."""
        return asyncio.run(self._answer(messages, max_tokens))

    async def _answer(self, messages: list[dict[str, Any]], max_tokens: int) -> str:
        async with ChatClient(self._server, self._model, f"tool {self._tool}") as client:
            found = await client.choices(messages, 1, temperature=0.0, max_tokens=max_tokens)
        if not found.had:
            raise RuntimeError(f"the model behind {self._tool} did not answer: {found.missing[0]}")
        return found.had[0].text.strip()


def _data_uri(path: Path) -> str:
    image = Image.fromarray(load_rgb(path))
    if image.width * image.height > _MOST_PIXELS:
        shrink = (_MOST_PIXELS / (image.width * image.height)) ** 0.5
        image = image.resize(
            (max(1, int(image.width * shrink)), max(1, int(image.height * shrink)))
        )
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
