"""Tiny models of every family, with random weights, and processors that need no torchvision."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from sport.policy.image_only import InternImageProcessor, QwenImageProcessor
from sport.policy.text import TextProcessor

VISION = ("llava", "llava_next", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl")
TEXT = ("qwen2", "llama")

HIDDEN, HEADS, LAYERS = 32, 4, 2
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special]
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(names)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )


def family(name: str) -> tuple[Any, Any]:
    """A fresh copy of a family's tiny model, and its processor."""
    model, processor = _built(name)
    return copy.deepcopy(model), processor


def plain(name: str) -> tuple[Any, Any]:
    """A family's tiny model as its class initialises it, and its processor."""
    torch.manual_seed(0)
    model, processor = globals()[f"_{name}"]()
    return model.eval(), processor


@cache
def _built(name: str) -> tuple[Any, Any]:
    model, processor = plain(name)
    with torch.no_grad():
        # Sharp attention and logits, so that a wrong position or key shows.
        model.get_input_embeddings().weight.mul_(20)
        for part, weight in model.named_parameters():
            if "merger.mlp" in part or "merger.linear" in part or "projector" in part:
                weight.mul_(8)
        for layer in model.get_decoder().layers:
            layer.self_attn.q_proj.weight.mul_(8)
            layer.self_attn.k_proj.weight.mul_(8)
    return model, processor


def _text(words: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **more,
    }


def _clip() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=28,
        patch_size=14,
        projection_dim=HIDDEN,
    )


def _llava() -> tuple[Any, Any]:
    words = tokenizer("<image>")
    side = {"height": 28, "width": 28}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>\n"),
    )
    config = LlavaConfig(
        vision_config=_clip(),
        text_config=LlamaConfig(**_text(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    return LlavaForConditionalGeneration(config), processor


def _llava_next() -> tuple[Any, Any]:
    words = tokenizer("<image>")
    side, grid = {"height": 28, "width": 28}, [[28, 56], [56, 28], [56, 56]]
    processor = LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": 28}, crop_size=side, image_grid_pinpoints=grid
        ),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>\n"),
    )
    config = LlavaNextConfig(
        vision_config=_clip(),
        text_config=LlamaConfig(**_text(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    return LlavaNextForConditionalGeneration(config), processor


def _qwen(config: Any, model: Any, vision: dict[str, Any], **text: Any) -> tuple[Any, Any]:
    words = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in [
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        ]
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    built = config(
        text_config=_text(words, rope_parameters=rope, **text),
        vision_config={"depth": 2, "num_heads": 4, "patch_size": 14, **vision},
        tie_word_embeddings=False,
        **ids,
    )
    area = {"shortest_edge": 28 * 28, "longest_edge": 56 * 84}
    processor = QwenImageProcessor(
        Qwen2VLImageProcessorPil(patch_size=14, size=area),
        words,
        TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return model(built), processor


def _qwen2_vl() -> tuple[Any, Any]:
    vision = {"embed_dim": HIDDEN, "hidden_size": HIDDEN, "mlp_ratio": 2}
    return _qwen(Qwen2VLConfig, Qwen2VLForConditionalGeneration, vision)


def _qwen2_5_vl() -> tuple[Any, Any]:
    vision = {
        "hidden_size": HIDDEN,
        "out_hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "fullatt_block_indexes": [1],
        "window_size": 112,
    }
    return _qwen(Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, vision)


def _qwen3_vl() -> tuple[Any, Any]:
    vision = {
        "hidden_size": HIDDEN,
        "out_hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    head = HIDDEN // HEADS
    return _qwen(Qwen3VLConfig, Qwen3VLForConditionalGeneration, vision, head_dim=head)


def _internvl() -> tuple[Any, Any]:
    words = tokenizer("<IMG_CONTEXT>", "<img>", "</img>", "<video>")
    side = {"height": 56, "width": 56}
    processor = InternImageProcessor(
        GotOcr2ImageProcessorPil(size=side, crop_to_patches=False),
        words,
        4,
        TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    config = InternVLConfig(
        text_config=Qwen2Config(**_text(words)),
        vision_config={
            "hidden_size": HIDDEN,
            "intermediate_size": 2 * HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    return InternVLForConditionalGeneration(config), processor


def _plain(words: Any) -> TextProcessor:
    words.chat_template = TEMPLATE
    return TextProcessor(words)


def _qwen2() -> tuple[Any, Any]:
    words = tokenizer()
    return Qwen2ForCausalLM(Qwen2Config(**_text(words))), _plain(words)


def _llama() -> tuple[Any, Any]:
    words = tokenizer()
    return LlamaForCausalLM(LlamaConfig(**_text(words))), _plain(words)
