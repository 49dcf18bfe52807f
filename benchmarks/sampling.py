"""Sampling in this process against `generate(num_return_sequences=n)`, over whole trajectories.

python benchmarks/sampling.py [--prompts 1000 3000] [--steps 4] [--n 5] [--new 24] [--hidden 128]
    [--repeats 5]

The same tiny vision-language model with random weights, the same chats, greedily, one thread. Both
sides read the same prompts, picture included, and their texts are compared. `generate` reads a
prompt n times at every step; `LocalPolicy` reads it once, and at later steps only what is new. The
ratio of the tokens read is the limit of what that can give; decoding costs both the same. Both take
turns, and the least time of each counts, since other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sport.pocket.model import build_model
from sport.policy.base import Request, SamplingPlan
from sport.policy.decode import Stops
from sport.policy.encode import encode
from sport.policy.forward import collate, pad_id
from sport.policy.local import LocalPolicy
from sport.types import Action, File, Message

Chat = tuple[Message, ...]
Answer = Callable[[Chat], list[str]]
"""The n texts that follow a chat."""


def opening(length: int, processor: Any, picture: File, word: str = "rice") -> Chat:
    """A first turn of about so many tokens."""
    words = length
    while True:
        chat = (Message(role="user", text=f"{word} " * words, images=(picture,)),)
        excess = len(encode(processor, chat).ids) - length
        if excess <= 0:
            return chat
        words -= max(1, excess // 2)


def walk(answer: Answer, chat: Chat, steps: int) -> tuple[list[list[str]], float]:
    """The texts of a trajectory's steps, and the CPU seconds they took."""
    said = []
    started = time.process_time()
    for _ in range(steps):
        texts = answer(chat)
        said.append(texts)
        seen = Message(role="user", text="Observation:\n" + "tea 3.20 " * 10)
        chat = (*chat, Message(role="assistant", text=texts[0]), seen)
    return said, time.process_time() - started


def by_generate(model: Any, processor: Any, n: int, new: int) -> Answer:
    """What `transformers` offers: n sequences a prompt."""
    suppress = Stops(model, processor).suppress

    def answer(chat: Chat) -> list[str]:
        encoded = encode(processor, chat)
        inputs = collate([encoded], pad_id(processor), "cpu").inputs
        # Greedy search returns one sequence; sampling among one token is greedy and returns n.
        whole = model.generate(
            **inputs,
            do_sample=True,
            top_k=1,
            num_return_sequences=n,
            max_new_tokens=new,
            suppress_tokens=suppress,
        )
        texts = processor.tokenizer.batch_decode(whole[:, len(encoded.ids) :])
        eos = processor.tokenizer.eos_token
        return [text.partition(eos)[0] for text in texts]

    return answer


def by_policy(policy: LocalPolicy, n: int, new: int) -> Answer:
    """What this project offers."""
    plan = SamplingPlan(temperatures=(0.0,) * n, max_new_tokens=new)

    def answer(chat: Chat) -> list[str]:
        request = Request(messages=chat, seeds=tuple(range(n)), plan=plan)
        [found] = asyncio.run(policy.sample([request]))
        assert isinstance(found, Sequence)
        return [action.text for action in found if isinstance(action, Action)]

    return answer


def count_read(model: Any) -> list[int]:
    """A list that grows by the tokens of every forward that reads a prompt."""
    counts: list[int] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"]
        if ids is not None and ids.shape[1] > 1:
            counts.append(ids.numel())

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    return counts


def measure(length: int, picture: File, options: argparse.Namespace) -> None:
    """Drives both over one trajectory, in turns and each after a step of another, and prints."""
    model: Any
    model, processor = build_model(hidden=options.hidden, context=length + 2000)
    counts = count_read(model)
    chat = opening(length, processor, picture)
    results: dict[str, tuple[list[list[str]], float, int]] = {}
    sides: dict[str, Callable[[], Answer]] = {
        "generate": lambda: by_generate(model, processor, options.n, options.new),
        "LocalPolicy": lambda: by_policy(
            LocalPolicy(model, processor, "bench"), options.n, options.new
        ),
    }
    other = opening(length, processor, picture, "tea")
    for _ in range(options.repeats):
        for name, make in sides.items():
            answer = make()
            walk(answer, other, 1)
            counts.clear()
            said, seconds = walk(answer, chat, options.steps)
            least = min(seconds, results[name][1]) if name in results else seconds
            results[name] = (said, least, sum(counts))
    (theirs, slow, many), (mine, fast, few) = results["generate"], results["LocalPolicy"]
    same = "identical" if theirs == mine else "DIFFERENT"
    print(
        f"{length:6} {slow:12.2f} {fast:15.2f} {slow / fast:7.1f} {many:10,} {few:10,} "
        f"{many / few:7.1f}  {same}"
    )
    if theirs != mine:
        raise SystemExit("the outputs differ: the comparison means nothing")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--new", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=128, help="width; 128 as the embedded one")
    parser.add_argument("--repeats", type=int, default=5, help="times that each side is driven")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        sha = "0" * 64
        path = Path(name) / sha[:2] / sha
        path.parent.mkdir()
        Image.new("RGB", (320, 240), "teal").save(path, "png")
        picture = File(name="image_0.png", sha256=sha, media_type="image/png", blobs=Path(name))
        print(f"{options.steps} steps, n = {options.n}, {options.new} new tokens a candidate")
        print("prompt | CPU s: generate | LocalPolicy | ratio | tokens read: both | ratio")
        for length in options.prompts:
            measure(length, picture, options)


if __name__ == "__main__":
    main()
