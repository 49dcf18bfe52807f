"""``objectlocation`` by a model that finds what is named: OWL-ViT, OWLv2 or Grounding DINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from sport.tools.images import load_rgb
from sport.tools.weights import OnFirstCall, model_kind

KINDS = {
    "owlv2": "google/owlv2-base-patch16-ensemble",
    "owlvit": "google/owlvit-base-patch32",
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
    "mm-grounding-dino": "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg",
}
"""Kinds of models, and one of each on the model hub."""

_SAME = 0.7
"""Two boxes that share more than this of their union are of one thing."""


def detector_tool(
    model: Path, threshold: float = 0.1, device: str = "cpu"
) -> Callable[[str, Path], list[list[int]]]:
    """Makes an ``objectlocation``.

    Args:
        model: Folder of the model.
        threshold: Least score of a box (paper: 0.1 with OWL-ViT).
        device: Where it computes.

    Raises:
        ToolNotFound: The folder does not hold such a model.
    """
    dino = "grounding-dino" in model_kind("objectlocation", model, KINDS)
    loaded = OnFirstCall(lambda: _load(model, device))

    def objectlocation(object: str, image_path: Path) -> list[list[int]]:
        """Finds the things of a name in a picture.

        Args:
            object: What to find, such as "red car" or "person".
            image_path: The picture.

        Returns:
            One box [x1, y1, x2, y2] in pixels for each thing found, from top to bottom; an empty
            list if there is none.
        """
        name = " ".join(object.lower().split()).rstrip(".")
        if not name:
            raise ValueError("object is empty: name what to find, such as 'red car'")
        image = Image.fromarray(load_rgb(image_path))
        # What Grounding DINO looks for ends with a full stop; OWL takes a list of names a picture.
        text: Any = f"{name}." if dino else [[name]]
        with loaded.use() as (processor, network), torch.inference_mode():
            inputs = processor(text=text, images=image, return_tensors="pt").to(device)
            outputs = network(**inputs)
            options = {"input_ids": inputs["input_ids"]} if dino else {}
            found = processor.post_process_grounded_object_detection(
                outputs, threshold=threshold, target_sizes=[image.size[::-1]], **options
            )[0]
        boxes = _inside(found["boxes"].float().cpu().numpy(), image.size)
        return _distinct(boxes, found["scores"].float().cpu().tolist())

    return objectlocation


def _load(model: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    processor = AutoProcessor.from_pretrained(model)
    network = AutoModelForZeroShotObjectDetection.from_pretrained(model, dtype=torch.float32)
    return processor, network.to(device).eval()


def _inside(boxes: np.ndarray[Any, Any], size: tuple[int, int]) -> list[list[int]]:
    limits = np.array([*size, *size])
    return [[int(v) for v in box] for box in np.clip(boxes.round(), 0, limits)]


def _distinct(boxes: list[list[int]], scores: list[float]) -> list[list[int]]:
    """Boxes that hold anything, the better one where two are of one thing, from top to bottom."""
    kept = [(b, s) for b, s in zip(boxes, scores, strict=True) if b[2] > b[0] and b[3] > b[1]]
    if not kept:
        return []
    sized = [[x1, y1, x2 - x1, y2 - y1] for (x1, y1, x2, y2), _ in kept]
    best = cv2.dnn.NMSBoxes(sized, [score for _, score in kept], 0.0, _SAME)
    return sorted((kept[i][0] for i in best), key=lambda box: (box[1], box[0]))
