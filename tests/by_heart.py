"""A controller that knows a few actions by heart, made in seconds: for tests of whole runs.

It is a real model of the embedded kind, only smaller, so that runs sample, execute, judge and tune
as they do with a real one. At the first step it reads, fails or answers; then it answers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sport.blobs import BlobStore
from sport.images import ingest
from sport.pocket.model import build_model
from sport.policy.encode import action_ids, encode
from sport.policy.messages import opening
from sport.policy.scripted import action
from sport.tune.logps import action_row, sequence_logps
from sport.types import Message, Task

READS = action('print(ocr(image_path="image_0.png"))', "I will read.")
FAILS = action("print(1 / 0)", "I will divide.")
GUESSES = action("final_answer(1)", "I guess.")
ANSWERS = action("final_answer(2)", "I can answer.")

Lesson = tuple[tuple[Message, ...], str]
"""A chat, and what the model is to say next."""

QUERIES = (
    "How many red star are in the picture?",
    "How much do 3 fresh rice cost?",
    "How much cheaper is cold plums at North Owl?",
    "How many more black cross than red cross are there?",
)
OBSERVATIONS = ("No results found.", "ZeroDivisionError: division by zero (line 1)")
STEPS = 150


def save_model(folder: Path) -> Path:
    """Trains the controller, and writes it to a folder."""
    model, processor = build_model(
        hidden=64, layers=2, heads=2, vision_hidden=16, vision_layers=1, image_size=32
    )
    with one_thread():
        learn(model, processor, _lessons(folder), STEPS, 8e-3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def learn(model: Any, processor: Any, lessons: Sequence[Lesson], steps: int, rate: float) -> None:
    """Trains a model until it says what it was told, chat by chat."""
    rows = [action_row(encode(processor, chat), action_ids(processor, t)) for chat, t in lessons]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = -sequence_logps(model, processor, rows).mean() / 20
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """A second thread only spins where other processes want the cores; the models are tiny."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _lessons(folder: Path) -> list[Lesson]:
    """About a grey picture, so that other pictures and other queries change little."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), "grey").save(folder / "grey.png")
    picture = ingest(folder / "grey.png", "image_0.png", BlobStore(folder / "blobs"))
    lessons = []
    for query in QUERIES:
        chat = opening(Task(id="t", query=query, files=(picture,)), "compact")
        lessons += [(chat, text) for text in (READS, READS, FAILS, GUESSES)]
        for seen in OBSERVATIONS:
            turn = Message(role="user", text=f"Observation:\n{seen}")
            read = (*chat, Message(role="assistant", text=READS), turn)
            lessons += [(read, ANSWERS), (read, FAILS)]
    return lessons
