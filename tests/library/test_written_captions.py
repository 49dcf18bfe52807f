"""Captions that a model behind a server writes: stored when they came, never paid twice."""

import base64
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fault_server import FaultServer
from library.sample_pictures import PICTURES
from library.test_filling import reasons
from library.test_images_command import sport
from sport.library import AddReport, Library
from sport.library.describe import CaptionWriter
from sport.remote.config import ServerSettings
from sport.remote.faults import RemoteError
from sport.remote.ledger import Ledger, of_models


@pytest.fixture
def bare(photos) -> Path:
    """The photographs without their texts."""
    for text in photos.glob("*.txt"):
        text.unlink()
    return photos


def shown(body: dict[str, Any]) -> Image.Image:
    """The picture that a request shows."""
    image, text = body["messages"][-1]["content"]
    assert text["type"] == "text" and "Describe this picture" in text["text"]
    head, data = image["image_url"]["url"].split(",", 1)
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def size(body: dict[str, Any]) -> list[str]:
    return ["A picture of {} by {} points.".format(*shown(body).size)]


def add(library: Library, folder: Path, server: FaultServer, **changes: Any) -> AddReport:
    quick = {"url": server.url, "backoff_s": 0.01, "attempts": 2, "concurrency": 3}
    settings = ServerSettings.model_validate({**quick, **changes})
    return library.add([folder], writer=CaptionWriter(settings, "looker"))


def test_captions_are_written_once_and_say_by_whom(library, bare) -> None:
    (bare / "coins.txt").write_text("roman money")
    (bare / "rocket.json").write_text('{"source": "my camera", "licence": "CC0"}')
    shutil.copy(bare / "chelsea.png", bare / "copy.png")
    with FaultServer(says=size) as server:
        report = add(library, bare, server)
        assert (report.added, report.written, report.known, report.skipped) == (9, 8, 1, [])
        again = add(library, bare, server)
        assert (again.added, again.written, again.known, again.skipped) == (0, 0, 10, [])
        assert len(server.requests) == 8
    assert server.requests[0]["model"] == "looker" and server.requests[0]["temperature"] == 0
    [cat] = library.search("451 300", n=1)
    assert cat.caption == "A picture of 451 by 300 points."
    assert cat.source == "caption written by looker"
    [rocket] = [h for h in library.search("picture") if h.file.name == "rocket.png"]
    assert (rocket.source, rocket.licence) == ("my camera; caption written by looker", "CC0")
    assert library.search("money")[0].source == ""


def test_a_caption_of_the_user_replaces_a_written_one(library, bare) -> None:
    with FaultServer(says=size) as server:
        add(library, bare, server)
    (bare / "chelsea.txt").write_text("my cat")
    assert library.add([bare]).recaptioned == 1
    assert library.search("cat", n=1)[0].caption == "my cat"
    # One that is taken away again leaves the picture as it is.
    (bare / "chelsea.txt").unlink()
    report = library.add([bare])
    assert (report.known, report.skipped) == (9, [])


def test_what_failed_is_told_skipped_and_tried_again(library, bare) -> None:
    ledger = Ledger()
    said = {
        "astronaut.png": "",
        "chelsea.png": "<think>A cat? A cat.</think>\n A cat\n looks up. ",
        "coffee.png": "word " * 20_000,
    }
    texts = {Image.open(bare / name).size: text for name, text in said.items()}

    def says(body: dict[str, Any]) -> list[str]:
        return [texts.get(shown(body).size, "Something else.")]

    settings = {"backoff_s": 0.01, "attempts": 2, "concurrency": 1}
    with FaultServer(says=says) as server:
        given = ServerSettings.model_validate({"url": server.url, **settings})
        report = library.add([bare], writer=CaptionWriter(given, "looker", ledger))
    # The 512 x 512 pictures are the astronaut alone; the coffee is too long for a caption.
    found = reasons(report)
    assert found.keys() == {"astronaut.png", "coffee.png"}
    assert "no caption was written: empty; empty" in found["astronaut.png"]
    assert "over 64 KiB" in found["coffee.png"]
    assert report.written == report.added == 7
    assert library.search("cat", n=1)[0].caption == "A cat looks up."
    [(account, usage)] = of_models(ledger._pending)
    assert account.role == "captions" and usage.faults == {"empty": 2} and usage.missing == 1
    with FaultServer(says=size) as server:
        assert add(library, bare, server).written == 2 and len(server.requests) == 2


def test_a_cut_caption_keeps_its_whole_sentences(library, only) -> None:
    texts = iter(["A cat sits. It is 1.5 years old. It has gre", "A cat that sits and sits and si"])
    folder = only("cat.png")
    only("coffee.png", of="coffee.png")

    class Cutting(FaultServer):
        def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
            answer = super()._answer(body)
            answer["choices"][0]["finish_reason"] = "length"
            return answer

    with Cutting(says=lambda body: [next(texts)]) as server:
        report = add(library, folder, server, concurrency=1)
    assert library.search("cat")[0].caption == "A cat sits. It is 1.5 years old."
    assert "no whole sentence after 512 tokens" in reasons(report)["coffee.png"]


def test_a_picture_that_a_server_refuses_does_not_stop_the_others(library, bare) -> None:
    class Picky(FaultServer):
        async def _chat(self, request: Any) -> Any:
            width = shown(await request.json()).size[0]
            self.refuses = (400, "this picture is odd") if width == 451 else None
            return await super()._chat(request)

    with Picky(says=size) as server:
        report = add(library, bare, server, concurrency=1)
    assert report.written == 8 and "this picture is odd" in reasons(report)["chelsea.png"]


def test_a_server_that_refuses_all_ends_the_call_and_keeps_what_was_done(
    library, bare, monkeypatch
) -> None:
    class Tired(FaultServer):
        async def _chat(self, request: Any) -> Any:
            self.refuses = (401, "sk-planted: who?") if len(self.requests) >= 4 else None
            return await super()._chat(request)

    monkeypatch.setenv("MY_KEY", "sk-planted")
    with Tired(says=size) as server:
        with pytest.raises(RemoteError, match="MY_KEY") as caught:
            add(library, bare, server, key_env="MY_KEY", concurrency=1)
        assert "sk-planted" not in str(caught.value) and len(server.requests) == 4 + 3
    assert len(library.search("picture points", n=20)) == 4
    with FaultServer(says=size) as server:
        report = add(library, bare, server)
    assert (report.written, report.known) == (5, 4)


def test_a_killed_call_pays_nothing_twice(bare, tmp_path) -> None:
    for number in range(40):
        with Image.open(bare / "coins.png") as image:
            image.crop((number, 0, number + 60, 60)).save(bare / f"c{number:03}.png")
    code = (
        "import sys; from pathlib import Path; from sport.library import Library\n"
        "from sport.library.describe import CaptionWriter\n"
        "from sport.remote.config import ServerSettings\n"
        "writer = CaptionWriter(ServerSettings(url=sys.argv[1], concurrency=2), 'looker')\n"
        "Library.open(Path(sys.argv[2])).add([Path(sys.argv[3])], writer=writer)"
    )
    folder = tmp_path / "library"
    with FaultServer(says=size, latency_s=0.02) as server:
        command = [sys.executable, "-c", code, server.url, str(folder), str(bare)]
        for stop in (signal.SIGKILL, signal.SIGINT):
            before = len(server.requests)
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                ends = time.monotonic() + 60
                while len(server.requests) < before + 8 and time.monotonic() < ends:
                    time.sleep(0.005)
                process.send_signal(stop)
            assert process.returncode != 0
        with (folder / "captions.jsonl").open("a") as file:
            file.write('{"sha256": "to')  # As if it had been killed while it wrote.
        report = add(Library.open(folder), bare, server)
    assert report.added + report.known == 49 and report.skipped == []
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    assert len({row["sha256"] for row in rows}) == len(rows) == 49
    asked = Counter(hashlib.sha256(shown(r).tobytes()).hexdigest() for r in server.requests)
    # Those that were under way when it was stopped: two, twice.
    assert sum(asked.values()) - 49 <= 4
    assert Library.open(folder).stats().pictures == 49


def test_the_command_writes_captions(bare, tmp_path) -> None:
    add = ("add", bare, "--library", tmp_path / "library")
    assert "9 skipped" in sport(*add).output
    with FaultServer(says=lambda body: ["A thing."]) as server:
        result = sport(*add, "--caption-url", server.url, "--caption-model", "looker")
    assert result.exit_code == 0 and "9 added" in result.output
    assert "9 captions written" in result.output and "0 skipped" in result.output
    result = sport(*add, "--caption-model", "looker")
    assert result.exit_code == 1 and "--caption-url and --caption-model go" in result.output
    assert len(PICTURES) == 9
