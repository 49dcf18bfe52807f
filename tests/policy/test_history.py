"""A trajectory's next step reads only what is new, and says what it would have said anyway."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sport.policy.base import Request, SamplingPlan
from sport.policy.encode import encode
from sport.policy.local import LocalPolicy
from sport.types import Action, File, Message

PLAN = SamplingPlan(temperatures=(0.0, 1.5, 2.5), top_p=0.95, max_new_tokens=12)


def openings(pictures: list[File]) -> list[tuple[Message, ...]]:
    return [
        (Message(role="user", text="How many?"),),
        (Message(role="user", text="How much do 3 rice cost? " * 3, images=(pictures[0],)),),
        (Message(role="user", text="What?", images=(pictures[1], pictures[2])),),
    ]


def grown(chat: tuple[Message, ...], action: Action, seen: str, *images: File) -> Any:
    told = Message(role="user", text=f"Observation:\n{seen}", images=images)
    return (*chat, Message(role="assistant", text=action.text), told)


def sample(policy: LocalPolicy, chats: list[tuple[Message, ...]], step: int) -> list[list[Action]]:
    requests = [
        Request(messages=chat, seeds=tuple(100 * step + 10 * i + j for j in range(3)), plan=PLAN)
        for i, chat in enumerate(chats)
    ]
    return asyncio.run(policy.sample(requests))  # type: ignore[return-value]


@contextmanager
def read_tokens(policy: LocalPolicy) -> Iterator[list[int]]:
    """The tokens of every forward that reads more than one a row."""
    counts: list[int] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        mask, ids = kwargs["attention_mask"], kwargs["input_ids"]
        if ids.shape[1] > 1:
            counts.append(int(mask[:, -ids.shape[1] :].sum()))

    hook = policy.model.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def walk(policy: LocalPolicy, pictures: list[File], steps: int = 4) -> list[list[list[Action]]]:
    """Some trajectories that go on with different candidates and unequal observations."""
    chats, said = openings(pictures), []
    for step in range(steps):
        answers = sample(policy, chats, step)
        said.append(answers)
        chats = [
            grown(chat, answers[i][(i + step) % 3], "tea 3 rice " * (1 + (i + step) % 3))
            for i, chat in enumerate(chats)
        ]
    return said


def assert_alike(one: list[list[list[Action]]], two: list[list[list[Action]]]) -> None:
    for a, b in zip(sum(sum(one, []), []), sum(sum(two, []), []), strict=True):
        assert a.text == b.text
        assert a.logp == pytest.approx(b.logp, abs=1e-3)


def test_it_says_what_it_would_have_said_anyway(
    tiny: tuple[Any, Any], pictures: list[File]
) -> None:
    kept = LocalPolicy(*tiny, name="kept")
    anew = LocalPolicy(*tiny, name="anew", history_mb=0)
    narrow = LocalPolicy(*tiny, name="narrow", batch_rows=3)
    expected = walk(anew, pictures)
    assert_alike(walk(kept, pictures), expected)
    assert_alike(walk(narrow, pictures), expected)


def test_only_what_is_new_is_read(tiny: tuple[Any, Any], pictures: list[File]) -> None:
    policy = LocalPolicy(*tiny, name="kept")
    [_, chat, _] = openings(pictures)
    lengths = []
    with read_tokens(policy) as counts:
        for step in range(3):
            lengths.append(len(encode(policy.processor, chat).ids))
            [answers] = sample(policy, [chat], step)
            chat = grown(chat, answers[1], "tea 3")
    assert counts == [lengths[0], lengths[1] - lengths[0], lengths[2] - lengths[1]]


def test_another_picture_is_read(tiny: tuple[Any, Any], pictures: list[File]) -> None:
    """The same tokens with other pixels are another chat, and so is one with a new picture."""
    kept = LocalPolicy(*tiny, name="kept")
    anew = LocalPolicy(*tiny, name="anew", history_mb=0)
    [_, chat, _] = openings(pictures)
    other = (chat[0].model_copy(update={"images": (pictures[3],)}),)
    [answers] = sample(kept, [chat], 0)
    for changed in (
        grown(other, answers[0], "tea 3"),
        grown(chat, answers[0], "tea 3", pictures[3]),
    ):
        sample(kept, [chat], 0)
        assert_alike([sample(kept, [changed], 1)], [sample(anew, [changed], 1)])


def test_old_and_new_chats_mix(tiny: tuple[Any, Any], pictures: list[File]) -> None:
    kept = LocalPolicy(*tiny, name="kept")
    anew = LocalPolicy(*tiny, name="anew", history_mb=0)
    first, second, third = openings(pictures)
    answers = sample(kept, [first, third], 0)
    mixed = [second, grown(third, answers[1][2], "x"), grown(first, answers[0][1], "tea " * 9)]
    assert_alike([sample(kept, mixed, 1)], [sample(anew, mixed, 1)])


def test_memory_is_bounded_and_what_is_left_is_dropped(
    tiny: tuple[Any, Any], pictures: list[File]
) -> None:
    policy = LocalPolicy(*tiny, name="kept", history_mb=1)
    long = [(Message(role="user", text=f"rice {i} " * 150),) for i in range(12)]
    sample(policy, long, 0)
    held = policy._histories._known.values()
    assert 0 < sum(h.nbytes for h in held) <= 2**20
    assert 0 < len(held) < 12
    sample(policy, openings(pictures)[:1], 1)
    assert len(policy._histories._known) == 1
