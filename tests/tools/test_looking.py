"""A visualizer with a model behind a server: what is sent, and what comes of failures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from fault_server import FaultServer
from sport.images import ImageError
from sport.remote.config import ServerSettings
from sport.tools.builtin import BUILTIN
from sport.tools.load import ToolNotFound

ARGUMENTS = {"question": "Which colour?", "image_path": "p.jpg"}


def test_the_picture_and_the_question_are_sent(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1500), "red").save(tmp_path / "p.jpg")
    with FaultServer(says=lambda body: [" Red. "]) as server:
        tool = BUILTIN["visualizer"](server=ServerSettings(url=server.url, model="base"))
        assert tool(tmp_path, ARGUMENTS) == "Red."
    image, text = server.requests[0]["messages"][0]["content"]
    assert text["text"] == "Which colour?"
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))
    picture = Image.open(io.BytesIO(data))
    assert picture.width * picture.height <= 2_000_000 and picture.getpixel((5, 5)) == (254, 0, 0)


def test_a_server_that_fails_now_and_then_is_asked_again(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "p.jpg")
    with FaultServer(rate=0.5, faults=("500", "garbage", "empty")) as server:
        settings = ServerSettings(url=server.url, model="base", attempts=20, backoff_s=0.001)
        tool = BUILTIN["visualizer"](server=settings)
        assert [tool(tmp_path, ARGUMENTS) for _ in range(8)] == ["hello"] * 8
    assert sum(server.injected.values()) > 2


def test_failures_are_errors_and_never_answers(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"no picture")
    with FaultServer(rate=1.0, faults=("500",)) as server:
        settings = ServerSettings(url=server.url, model="base", attempts=2, backoff_s=0.001)
        tool = BUILTIN["visualizer"](server=settings)
        with pytest.raises(ImageError, match="p.jpg"):
            tool(tmp_path, ARGUMENTS)
        Image.new("RGB", (30, 30)).save(tmp_path / "p.jpg")
        with pytest.raises(RuntimeError, match="did not answer: HTTP 500"):
            tool(tmp_path, ARGUMENTS)


def test_a_server_without_a_model_is_told_before_the_run() -> None:
    with pytest.raises(ToolNotFound, match=r"\[tool.visualizer.server\] model is missing"):
        BUILTIN["visualizer"](server=ServerSettings(url="http://127.0.0.1:9/v1"))
