"""Processors without a video processor: those of Qwen-VL and InternVL need torchvision for one.

Pictures are all that an agent's chat holds, so nothing is missed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.processing_utils import ProcessorMixin
from transformers.utils.import_utils import is_torchvision_available


class QwenImageProcessor(Qwen2VLProcessor):
    """The processor of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, for pictures alone."""

    def __init__(
        self, image_processor: Any, tokenizer: Any, chat_template: str | None = None, **_: Any
    ) -> None:
        """Takes its parts."""
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class InternImageProcessor(InternVLProcessor):
    """The processor of InternVL, for pictures alone."""

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        image_seq_length: int = 256,
        chat_template: str | None = None,
        **_: Any,
    ) -> None:
        """Takes its parts, and the number of tokens of a patch."""
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_length = image_seq_length
        self.image_token, self.video_token = "<IMG_CONTEXT>", "<video>"
        self.start_image_token, self.end_image_token = "<img>", "</img>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.multimodal_pattern = re.compile(f"(?P<image>{self.image_token})|(?P<video><video>)")


IMAGE_ONLY: dict[str, type[ProcessorMixin]] = {
    "qwen2_vl": QwenImageProcessor,
    "qwen2_5_vl": QwenImageProcessor,
    "qwen3_vl": QwenImageProcessor,
    "internvl": InternImageProcessor,
}
"""By the model's type: what stands in for a processor that needs torchvision."""


def load_processor(path: str | Path, config: Any) -> Any:
    """The processor of a vision-language model; its image-only form where torchvision is absent."""
    kind = IMAGE_ONLY.get(config.model_type)
    if kind is None or is_torchvision_available():
        return AutoProcessor.from_pretrained(path)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    images = AutoImageProcessor.from_pretrained(path, backend="pil")
    options = {"chat_template": tokenizer.chat_template}
    if kind is InternImageProcessor:
        options["image_seq_length"] = config.image_seq_length
    return kind(images, tokenizer, **options)
