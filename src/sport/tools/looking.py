"""``visualizer`` with eyes: a vision-language model behind a server, or one in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sport.remote.config import ServerSettings
from sport.tools.endpoint import Endpoint
from sport.tools.images import load_rgb
from sport.tools.weights import OnFirstCall

Visualizer = Callable[[str, Path], str]


def _described(look: Visualizer) -> Visualizer:
    def visualizer(question: str, image_path: Path) -> str:
        """Answers a question about a picture.

        Args:
            question: What is to be known of the picture.
            image_path: The picture.

        Returns:
            The answer, in words.
        """
        return look(question, image_path)

    return visualizer


def endpoint_visualizer(server: ServerSettings) -> Visualizer:
    """A ``visualizer`` by a model behind a server.

    Raises:
        ToolNotFound, RemoteError: The server's model or key is missing.
    """
    endpoint = Endpoint(server, "visualizer")
    return _described(lambda question, image_path: endpoint.ask(question, image_path))


def model_visualizer(
    model: Path, device: str = "cpu", dtype: str = "float32", max_new_tokens: int = 256
) -> Visualizer:
    """A ``visualizer`` by a model in a folder, such as the one that the policy starts from.

    It is loaded once more, without any adapter: its answers stay the same from round to round.

    Raises:
        ToolNotFound: The folder holds no vision-language model that transformers knows.
    """
    _check(model)
    loaded = OnFirstCall(lambda: _load(model, device, dtype))

    def look(question: str, image_path: Path) -> str:
        image = Image.fromarray(load_rgb(image_path))
        with loaded.use() as (processor, network), torch.inference_mode():
            content = [{"type": "image"}, {"type": "text", "text": question}]
            text = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            inputs = processor(images=[image], text=[text], return_tensors="pt").to(device)
            inputs["pixel_values"] = inputs["pixel_values"].to(network.dtype)
            written = network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
            answer = written[:, inputs["input_ids"].shape[1] :]
            return str(processor.batch_decode(answer, skip_special_tokens=True)[0]).strip()

    return _described(look)


def _check(model: Path) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    from sport.tools.weights import model_kind

    kinds = {"qwen2_vl": "Qwen/Qwen2-VL-2B-Instruct"}
    model_kind("visualizer", model, {**kinds, **dict.fromkeys(
        sorted(set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) - set(kinds)), "")})  # fmt: skip


def _load(model: Path, device: str, dtype: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForImageTextToText

    from sport.policy.image_only import load_processor

    processor = load_processor(model, AutoConfig.from_pretrained(model))
    network: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=getattr(torch, dtype))
    return processor, network.to(device).eval()
