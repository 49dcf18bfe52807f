"""Masks by SAM 2 (Ravi et al., 2024), for :mod:`sport.tools.segmentation`.

transformers' image processor for it needs torchvision, which has no build for every machine; what
it does to one picture are the few lines of :func:`_entering`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sport.tools.segmentation import MOST_BOXES, Mask, Segmenter
from sport.tools.weights import OnFirstCall, model_kind

KINDS = {"sam2_video": "facebook/sam2.1-hiera-tiny", "sam2": "facebook/sam2.1-hiera-tiny"}
"""Kinds of models (the hub's are saved as video models), and one of each on the model hub."""

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GRID = 8
"""Without boxes, the model is asked what is at so many points a side."""
_SURE = 0.7
"""Least quality of a mask, as the model judges it, that a point gives."""
_SAME = 0.6
"""Two masks that share more than this of their union are of one thing."""


def sam2_segmenter(model: Path, device: str = "cpu") -> Segmenter:
    """What makes masks by the model in a folder.

    Raises:
        ToolNotFound: The folder does not hold such a model.
    """
    model_kind("segmentation", model, KINDS)
    loaded = OnFirstCall(lambda: _load(model, device))

    def segment(pixels: NDArray[np.uint8], boxes: list[list[int]] | None) -> list[Mask]:
        with loaded.use() as network, torch.inference_mode():
            side = _side(network)
            scale = torch.tensor([side / pixels.shape[1], side / pixels.shape[0]])
            inputs: dict[str, Any] = {"pixel_values": _entering(pixels, side).to(device)}
            if boxes is None:
                inputs |= _points(side, device)
            elif boxes:
                inputs["input_boxes"] = (torch.tensor([boxes]) * scale.repeat(2)).to(device)
            else:
                return []
            outputs = network(**inputs, multimask_output=boxes is None)
        # (prompts, masks, height, width) and (prompts, masks), of the one picture.
        masks, scores = outputs.pred_masks[0].float().cpu(), outputs.iou_scores[0].float().cpu()
        chosen = masks[torch.arange(len(masks)), scores.argmax(dim=1)]
        if boxes is None:
            chosen = chosen[_distinct(chosen > 0, scores.max(dim=1).values)]
        full = torch.nn.functional.interpolate(
            chosen[None], pixels.shape[:2], mode="bilinear", align_corners=False
        )[0]
        return list((full > 0).numpy())

    return segment


def _load(model: Path, device: str) -> Any:
    from transformers import Sam2Model

    network: Any = Sam2Model.from_pretrained(model, dtype=torch.float32)
    return network.to(device).eval()


def _side(network: Any) -> int:
    size = network.config.prompt_encoder_config.image_size
    return int(size[0] if isinstance(size, list | tuple) else size)


def _entering(pixels: NDArray[np.uint8], side: int) -> torch.Tensor:
    """A picture as the model takes it: squeezed to a square and normalised, ``(1, 3, s, s)``."""
    square = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    values = (np.asarray(square, np.float32) / 255 - _MEAN) / _SPREAD
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]


def _points(side: int, device: str) -> dict[str, torch.Tensor]:
    """A grid of points, each of which asks for a mask of its own."""
    steps = (torch.arange(_GRID) + 0.5) * side / _GRID
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x, y], dim=-1).reshape(1, _GRID * _GRID, 1, 2)
    labels = torch.ones(points.shape[:-1], dtype=torch.long)
    return {"input_points": points.to(device), "input_labels": labels.to(device)}


def _distinct(masks: torch.Tensor, scores: torch.Tensor) -> list[int]:
    """Which masks to keep: sure ones, best first, each of another thing; at least the best."""
    order = scores.argsort(descending=True).tolist()
    kept: list[int] = []
    for i in order:
        if kept and (scores[i] < _SURE or len(kept) == MOST_BOXES):
            break
        if not masks[i].any():
            continue
        shared = [(masks[i] & masks[k]).sum() / (masks[i] | masks[k]).sum() for k in kept]
        if all(share <= _SAME for share in shared):
            kept.append(i)
    return kept
