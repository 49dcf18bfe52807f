"""Tiny random models of the real classes, saved to folders as the model hub lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    Sam2Config,
    Sam2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

_SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip


def clip_tokenizer(length: int = 16) -> CLIPTokenizer:
    """A tokenizer of single bytes, with the special tokens of CLIP."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length)


def owlv2(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    config = Owlv2Config(
        text_config={**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 16,
                     "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0},
        vision_config={**_SMALL, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )  # fmt: skip
    model = Owlv2ForObjectDetection(config)
    # Boxes of a random head lie anywhere; without its last layer they are those of the patches.
    torch.nn.init.zeros_(model.box_head.dense2.weight)
    model.save_pretrained(folder)
    images = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    Owlv2Processor(images, tokenizer).save_pretrained(folder)
    return folder


def bert_tokenizer() -> BertTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "cat", "dog", "red", "car"]
    words += [*letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)})


def grounding_dino(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = bert_tokenizer()
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1],
            "window_size": 7, "image_size": 64, "out_features": ["stage2", "stage3", "stage4"],
        },
        text_config={**_SMALL, "model_type": "bert", "vocab_size": len(tokenizer),
                     "max_position_embeddings": 64},
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2, num_queries=20, max_text_len=64,
        fusion_dropout=0.0,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def sam2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [128, 128],
                "blocks_per_stage": [1, 2, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2], "global_attention_blocks": [4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2,
                             "iou_head_hidden_dim": 32},
    )  # fmt: skip
    Sam2Model(config).save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = whisper_tokenizer()
    ids = tokenizer.convert_tokens_to_ids
    special = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id,
               "pad_token_id": tokenizer.eos_token_id,
               "decoder_start_token_id": ids("<|startoftranscript|>")}  # fmt: skip
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_target_positions=16, **special,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.update(
        max_length=12, no_timestamps_token_id=ids("<|notimestamps|>"), **special
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def whisper_tokenizer() -> WhisperTokenizer:
    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>", "<|startoftranscript|>", "<|en|>",
             "<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>",
             "<|notimestamps|>"]  # fmt: skip
    vocab = {word: i for i, word in enumerate(words)}
    tokenizer = WhisperTokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": words[-7:]})
    return tokenizer


def diffusion(folder: Path, edits: bool = False) -> Path:
    """A Stable Diffusion pipeline, or one of InstructPix2Pix."""
    torch.manual_seed(0)
    # Imported here: it takes seconds that most users of this module need not wait.
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInstructPix2PixPipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )

    tokenizer = clip_tokenizer()
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": 0, "pad_token_id": 0}
    text = CLIPTextConfig(
        **_SMALL, vocab_size=len(tokenizer), max_position_embeddings=16, **ends
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=8 if edits else 4, out_channels=4, layers_per_block=1,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32,
        attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
        sample_size=16,
    )  # fmt: skip
    kind = StableDiffusionInstructPix2PixPipeline if edits else StableDiffusionPipeline
    kind(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder
