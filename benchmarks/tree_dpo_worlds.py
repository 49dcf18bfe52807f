"""What `tree_dpo.py` tunes: one trajectory of random words, and a small model that reads it."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sport.blobs import BlobStore
from sport.policy.text import TextProcessor
from sport.types import (
    Action,
    Candidate,
    File,
    Message,
    Observation,
    Outcome,
    Step,
    Task,
    Trajectory,
    Verdict,
)

VOCABULARY = 4096
TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} "
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> "
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


@dataclass(frozen=True)
class Case:
    """A trajectory's shape.

    Attributes:
        steps: Its steps.
        prompt: Tokens of its opening, images left out.
        images: Images of its opening.
        candidates: Candidates of a step.
    """

    steps: int
    prompt: int
    images: int = 0
    candidates: int = 5

    @property
    def name(self) -> str:
        """Such as ``t4-p1000``, or ``t4-p1000-i2`` with images."""
        return f"t{self.steps}-p{self.prompt}" + (f"-i{self.images}" if self.images else "")


CASES = {
    case.name: case
    for case in (
        *(Case(steps, prompt) for prompt in (1000, 3000) for steps in (2, 4, 8)),
        Case(4, 600, images=2),
        Case(2, 150),
        Case(2, 80, images=1),
    )
}
QUICK = ("t2-p150", "t2-p80-i1")
FULL = tuple(name for name in CASES if name not in QUICK)


def build_model(case: Case) -> tuple[Any, Any]:
    """A language model of 6 layers and width 256; behind a small vision tower for images."""
    torch.manual_seed(0)
    words: Any = build_tokenizer()
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16_384,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    if not case.images:
        return Qwen2ForCausalLM(Qwen2Config(**text)).eval(), TextProcessor(words)
    side = {"height": 168, "width": 168}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=168,
        patch_size=14,
        projection_dim=128,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=144,
    )
    return LlavaForConditionalGeneration(config).eval(), processor


def build_tokenizer(*more: str) -> PreTrainedTokenizerFast:
    """A tokenizer for which a word is a token, with more special tokens if asked."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(more or ["<image>"])]
    names = [*special, "<unk>", "system", "user", "assistant", "Observation:"]
    names += [f"w{k}" for k in range(VOCABULARY - len(names))]
    inner = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_special_tokens(special)
    words = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    picture = "<|vision_start|><|image_pad|><|vision_end|> " if more else "<image> "
    words.chat_template = TEMPLATE.replace("<image> ", picture)
    return words


def build_trajectory(case: Case, blobs: Path) -> Trajectory:
    """A trajectory of a case: candidates of 60 to 140 tokens, observations of 100."""
    rng = random.Random(0)

    def words(count: int) -> str:
        return " ".join(f"w{rng.randrange(VOCABULARY - 9)}" for _ in range(count))

    def candidate() -> Candidate:
        text = words(rng.randint(60, 140))
        seen = Observation(text=words(100))
        return Candidate(action=Action(text=text, code=text), outcome=Outcome(), observation=seen)

    steps = tuple(
        Step(
            index=index,
            candidates=tuple(candidate() for _ in range(case.candidates)),
            verdict=Verdict(best=0, reason="the first"),
            chosen=0,
        )
        for index in range(case.steps)
    )
    images = tuple(_picture(k, blobs) for k in range(case.images))
    opening = (Message(role="user", text=words(case.prompt), images=images),)
    task = Task(id="t", query="", files=images)
    return Trajectory(task=task, opening=opening, steps=steps, end="finished")


def _picture(seed: int, blobs: Path) -> File:
    pixels = np.random.default_rng(seed).integers(0, 255, (168, 168, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    return BlobStore(blobs).put(data.getvalue(), f"image_{seed}.png", "image/png")
