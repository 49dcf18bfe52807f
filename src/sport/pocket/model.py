"""The embedded controller: a small but genuine vision-language model.

Stock ``LlavaForConditionalGeneration`` (CLIP vision tower, Llama language model), so that whatever
loads a LLaVA loads this one through ``AutoModelForImageTextToText`` and ``AutoProcessor``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sport.pocket.tokenizer import CHAT_TEMPLATE, IMAGE, train_tokenizer

BASE = Path(__file__).parent / "base"
"""Where the trained model lies inside the package."""


def build_processor(image_size: int = 96, patch_size: int = 16) -> LlavaProcessor:
    """The processor: pictures become ``image_size`` squares, one token a patch."""
    side = {"height": image_size, "width": image_size}
    return LlavaProcessor(
        CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False),
        train_tokenizer(),
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    seed: int = 0,
    hidden: int = 128,
    layers: int = 4,
    heads: int = 4,
    vision_hidden: int = 128,
    vision_layers: int = 3,
    image_size: int = 96,
    patch_size: int = 16,
    context: int = 1024,
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Builds the model with random weights, and its processor.

    Args:
        seed: Seed of the weights.
        hidden: Width of the language model.
        layers: Its number of layers.
        heads: Its number of attention heads; half as many key-value heads.
        vision_hidden: Width of the vision tower.
        vision_layers: Its number of layers.
        image_size: Side of the square that pictures are scaled to, in pixels.
        patch_size: Side of a patch, in pixels.
        context: Longest sequence, in tokens.
    """
    torch.manual_seed(seed)
    processor = build_processor(image_size, patch_size)
    tokenizer: Any = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=vision_hidden,
        intermediate_size=2 * vision_hidden,
        num_hidden_layers=vision_layers,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=patch_size,
        projection_dim=vision_hidden,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        image_seq_length=(image_size // patch_size) ** 2,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    generation = model.generation_config
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.bos_token_id = None
    return model.eval(), processor
