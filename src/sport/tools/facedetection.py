"""``facedetection``: frontal faces by the cascades that OpenCV 4 ships (Viola and Jones, 2001)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sport.tools.images import load_rgb
from sport.tools.load import ToolNotFound

_LARGEST_SIDE = 1280
"""Larger pictures are looked at smaller: a face then has to fill a fiftieth of the side."""
_STEP, _NEIGHBOURS, _SMALLEST = 1.1, 5, 24
"""Scale between two looks, hits that must agree on a face, and the least side of a face."""
_YUNET_SCORE = 0.6

Find = Callable[[NDArray[np.uint8]], list[list[int]]]


def face_detector(model: Path | None = None) -> Callable[[Path], list[list[int]]]:
    """Makes a ``facedetection``.

    Args:
        model: Another cascade (``.xml``), or a YuNet model (``.onnx``), which also finds turned
            and covered faces; OpenCV's own cascade of frontal faces if not given.

    Raises:
        ToolNotFound: The file is none of them.
    """
    find = _cascade(model) if model is None or model.suffix == ".xml" else _yunet(model)

    def facedetection(image_path: Path) -> list[list[int]]:
        """Finds the faces in a picture.

        Args:
            image_path: The picture.

        Returns:
            One box [x1, y1, x2, y2] in pixels for each face, from left to right; an empty list if
            there is none.
        """
        pixels, shrink = _bounded(load_rgb(image_path))
        boxes = [[round(v * shrink) for v in box] for box in find(pixels)]
        return sorted(boxes)

    return facedetection


def _bounded(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    height, width = pixels.shape[:2]
    shrink = max(1.0, max(height, width) / _LARGEST_SIDE)
    if shrink == 1:
        return pixels, shrink
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8), shrink


def _cascade(file: Path | None) -> Find:
    path = file or Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt.xml"
    try:
        classifier = cv2.CascadeClassifier(str(path))
        broken = classifier.empty()
    except (cv2.error, SystemError):
        # The binding raises the latter around the former where the file is no XML.
        broken = True
    if broken:
        raise ToolNotFound(
            f"[tool.facedetection] model: {path} is no cascade of OpenCV; give another, or leave "
            "`model` out"
        )
    # A classifier is changed by its own calls, and tools are called from several threads.
    lock = threading.Lock()

    def find(pixels: NDArray[np.uint8]) -> list[list[int]]:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        with lock:
            found = classifier.detectMultiScale(
                grey, _STEP, _NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST)
            )
        return [[int(x), int(y), int(x + w), int(y + h)] for x, y, w, h in found]

    return find


def _yunet(file: Path) -> Find:
    try:
        detector = cv2.FaceDetectorYN.create(str(file), "", (320, 320), _YUNET_SCORE)
    except cv2.error as error:
        raise ToolNotFound(
            f"[tool.facedetection] model: {file} is neither a cascade (.xml) nor a YuNet model "
            f"(.onnx) that OpenCV loads: {error.err}"
        ) from None
    lock = threading.Lock()

    def find(pixels: NDArray[np.uint8]) -> list[list[int]]:
        height, width = pixels.shape[:2]
        with lock:
            detector.setInputSize((width, height))
            _, found = detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
        rows = [] if found is None else found
        boxes = ([row[0], row[1], row[0] + row[2], row[1] + row[3]] for row in rows)
        limits = (width, height, width, height)
        return [
            [min(max(0, round(float(v))), end) for v, end in zip(box, limits, strict=True)]
            for box in boxes
        ]

    return find
