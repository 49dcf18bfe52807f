"""Candidates that share their prompt say what candidates with copies of it say."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Gemma2Config, Gemma2ForCausalLM

from sport.blobs import BlobStore
from sport.images import ingest
from sport.policy.base import Request, SamplingPlan
from sport.policy.decode import Row, Stops, decode
from sport.policy.encode import Encoded, encode
from sport.policy.history import Histories
from sport.policy.local import LocalPolicy
from sport.policy.shared import SHARE_FROM, why_copies
from sport.policy.text import TextProcessor
from sport.types import File, Message
from tune.families import TEMPLATE, TEXT, VISION, family, tokenizer

REPEATS = (3, 1, 2)


def families() -> list[Any]:
    fast = ("llava", "qwen2_vl", "llama")
    return [
        pytest.param(name, marks=() if name in fast else pytest.mark.family)
        for name in (*VISION, *TEXT)
    ]


@pytest.fixture
def picture(tmp_path: Path) -> File:
    Image.effect_noise((56, 84), 80).convert("RGB").save(tmp_path / "noise.png")
    return ingest(tmp_path / "noise.png", "image_0.png", BlobStore(tmp_path / "blobs"))


def rows(chat: int, count: int) -> list[Row]:
    """Candidates that end at different times; those of the second chat before all others."""
    limits = [3] if chat == 1 else [4 + 3 * chat + 2 * i for i in range(count)]
    return [
        Row(seed=10 * chat + i, temperature=0.8 * i, top_p=0.9, limit=limit)
        for i, limit in enumerate(limits)
    ]


def decoded(model: Any, processor: Any, chats: Sequence[Encoded], share: bool) -> list[Row]:
    groups = [rows(i, n) for i, n in enumerate(REPEATS)]
    decode(model, processor, Stops(model, processor), chats, groups, Histories(0), share)
    return [row for group in groups for row in group]


@pytest.mark.parametrize("name", families())
def test_shared_prompts_change_nothing(name: str, picture: File) -> None:
    model, processor = family(name)
    model.double()
    pictures = (picture,) if name in VISION else ()
    chats = [
        encode(processor, (Message(role="user", text=text, images=pictures),))
        for text in ("How many? " * 30, "What?", "And how much do 3 rice cost? " * 20)
    ]
    assert why_copies(model, encode(processor, (Message(role="user", text="What is it?"),))) is None
    copied, shared = (decoded(model, processor, chats, share) for share in (False, True))
    assert [r.tokens for r in shared] == [r.tokens for r in copied]
    assert [len(r.tokens) for r in shared] == [r.limit for r in shared], (
        "all were sampled to the end"
    )
    assert [r.logp for r in shared] == pytest.approx([r.logp for r in copied], rel=1e-9)


def test_long_prompts_are_shared_and_short_ones_copied(tiny: tuple[Any, Any]) -> None:
    layouts: list[bool] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        layouts.append(kwargs.get("layout") is not None)

    policy = LocalPolicy(*tiny, name="tiny", context=4000)
    hook = tiny[0].model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        for text, shared in (("rice " * SHARE_FROM, True), ("rice " * 20, False)):
            plan = SamplingPlan(temperatures=(0.7, 1.2), max_new_tokens=6)
            chat = (Message(role="user", text=text),)
            layouts.clear()
            asyncio.run(policy.sample([Request(messages=chat, seeds=(1, 2), plan=plan)]))
            assert layouts[-1] is shared
    finally:
        hook.remove()


def test_a_model_whose_attention_is_another_copies() -> None:
    words = tokenizer()
    words.chat_template = TEMPLATE
    config = Gemma2Config(
        vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, sliding_window=64,
        layer_types=["full_attention"] * 2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(config).eval()
    chat = encode(TextProcessor(words), (Message(role="user", text="What is it?"),))
    reason = why_copies(model, chat)
    assert reason is not None and "takes no other in its place" in reason
