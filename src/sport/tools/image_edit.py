"""``image_edit``: plain edits by PIL, read from words; what needs a model is told so.

An edit is a comma- or "then"-separated list of operations, such as "crop to [10, 10, 200, 120],
then rotate 90 degrees and make it grayscale".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from sport.tools.images import load_rgb
from sport.tools.made import made_png

Edit = Callable[[Image.Image, re.Match[str]], Image.Image]

LARGEST_SIDE = 4096
_BOX = r"\[?\(?\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)?\]?"
_POINT = r"[\[(]?\s*(\d+)\s*,\s*(\d+)\s*[\])]?"
_COLOUR = r"(#[0-9a-f]{6}|[a-z]+)"
_QUOTE = re.compile(r"'[^']*'|\"[^\"]*\"")
_FILLERS = re.compile(
    r"(?:\b(?:please|make|convert|change|turn|set|the|image|picture|photo|it|its|this|to|into|an?|of|"
    r"more|slightly|then|and(?! white))\b|\s)+", re.IGNORECASE
)  # fmt: skip
_WHOLE = re.compile(rf"{_QUOTE.pattern}|[\[(][^\])]*[\])]|black and white", re.IGNORECASE)
KNOWN = (
    "grayscale; invert; sepia; blur; sharpen; brighten; darken; increase or decrease the "
    "contrast; rotate 90 degrees (clockwise); flip horizontally or vertically; crop to "
    "[x1, y1, x2, y2]; crop the left, right, top or bottom half; resize to WIDTH x HEIGHT; scale "
    "by 50 %; draw a red box at [x1, y1, x2, y2]; fill [x1, y1, x2, y2] with white; write 'text' "
    "at [x, y]"
)
"""What :func:`image_edit` can do, as its errors say it."""


def image_edit(prompt: str, image_path: Path) -> Path:
    """Edits a picture by simple operations; it cannot add, remove or change things.

    Args:
        prompt: What to do, in order and separated by ", then": grayscale, invert, sepia, blur,
            sharpen, brighten, darken, increase or decrease the contrast, rotate 90 degrees, flip
            horizontally or vertically, crop to [x1, y1, x2, y2], crop the left half, resize to
            200 x 100, scale by 50 %, draw a red box at [x1, y1, x2, y2], fill [x1, y1, x2, y2]
            with white, write 'text' at [x, y].
        image_path: The picture.

    Returns:
        Path of the edited picture.
    """
    image = Image.fromarray(load_rgb(image_path))
    for step in split(prompt):
        image = _apply(image, step)
    return made_png(image, "edited.png")


def split(prompt: str) -> list[str]:
    """The operations of a prompt; commas in brackets and all that is in quotes stay whole.

    Raises:
        ValueError: There is none.
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    masked = _WHOLE.sub(keep, prompt)
    parts = re.split(r"\s*(?:[,;.]\s+(?:and\s+|then\s+)*|\band\b|\bthen\b|[,;.]$)\s*", masked)
    whole = [re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], p).strip() for p in parts]
    steps = [step for step in whole if step]
    if not steps:
        raise ValueError(f"the prompt is empty: say what to do; it can: {KNOWN}")
    return steps


def _apply(image: Image.Image, step: str) -> Image.Image:
    plain = step if _QUOTE.search(step) else _FILLERS.sub(" ", step).strip()
    for pattern, edit in _EDITS:
        # The whole of a step must be understood: "darken" is an edit, "remove the dark cat" none.
        found = re.fullmatch(pattern, plain, re.IGNORECASE)
        if found is not None:
            return edit(image, found)
    raise ValueError(
        f"{step!r} is no edit that works without a model. It can: {KNOWN}. A diffusion model is "
        "given in the recipe as [tool.image_edit] model"
    )


def _box(image: Image.Image, numbers: tuple[str, ...]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(n) for n in numbers)
    x2, y2 = min(x2, image.width), min(y2, image.height)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(
            f"[{', '.join(numbers)}] holds nothing of the picture, which is {image.width} x "
            f"{image.height} pixels"
        )
    return x1, y1, x2, y2


def _colour(name: str | None, default: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(name or default)
    except ValueError:
        raise ValueError(f"{name!r} is no colour: give one such as red, or #ff0000") from None


def _half(image: Image.Image, found: re.Match[str]) -> Image.Image:
    width, height = image.size
    boxes = {
        "left": (0, 0, max(1, width // 2), height),
        "right": (width // 2, 0, width, height),
        "top": (0, 0, width, max(1, height // 2)),
        "upper": (0, 0, width, max(1, height // 2)),
        "bottom": (0, height // 2, width, height),
        "lower": (0, height // 2, width, height),
    }
    return image.crop(boxes[found[1].lower()])


def _sized(image: Image.Image, width: float, height: float) -> Image.Image:
    size = max(1, round(width)), max(1, round(height))
    if max(size) > LARGEST_SIDE:
        raise ValueError(f"{size[0]} x {size[1]} is too large: at most {LARGEST_SIDE} a side")
    return image.resize(size, Image.Resampling.LANCZOS)


def _resize(image: Image.Image, found: re.Match[str]) -> Image.Image:
    return _sized(image, int(found[1]), int(found[2]))


def _scale(image: Image.Image, found: re.Match[str]) -> Image.Image:
    factor = float(found[1]) / (100 if found[2] else 1)
    return _sized(image, image.width * factor, image.height * factor)


def _rotate(image: Image.Image, found: re.Match[str]) -> Image.Image:
    left = re.search(r"counter|anti|left", found.string, re.IGNORECASE)
    degrees = float(found[1] or 90) * (1 if left else -1)
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True)


def _flip(image: Image.Image, found: re.Match[str]) -> Image.Image:
    upside = re.search(r"vertical|upside", found.string, re.IGNORECASE)
    return ImageOps.flip(image) if upside else ImageOps.mirror(image)


def _contrast(image: Image.Image, found: re.Match[str]) -> Image.Image:
    less = re.search(r"decrease|less|lower|reduce", found.string, re.IGNORECASE)
    return ImageEnhance.Contrast(image).enhance(0.6 if less else 1.5)


def _sepia(image: Image.Image, found: re.Match[str]) -> Image.Image:
    return ImageOps.colorize(ImageOps.grayscale(image), "#2b1b0e", "#fff1d6", "#a67c52")


def _draw_box(image: Image.Image, found: re.Match[str]) -> Image.Image:
    box = _box(image, found.groups()[1:])
    ImageDraw.Draw(image).rectangle(
        (box[0], box[1], box[2] - 1, box[3] - 1),
        outline=_colour(found[1], "red"),
        width=max(2, max(image.size) // 200),
    )
    return image


def _fill(image: Image.Image, found: re.Match[str]) -> Image.Image:
    image.paste(_colour(found[5], "black"), _box(image, found.groups()[:4]))
    return image


def _write(image: Image.Image, found: re.Match[str]) -> Image.Image:
    text = found[1] if found[1] is not None else found[2]
    size = max(12, min(image.size) // 16)
    ImageDraw.Draw(image).text(
        (int(found[3]), int(found[4])),
        text,
        fill=_colour(found[5], "red"),
        font=ImageFont.load_default(size),
    )
    return image


_EDITS: tuple[tuple[str, Edit], ...] = (
    (rf".*?write (?:the )?(?:text )?(?:'([^']*)'|\"([^\"]*)\") (?:at )?{_POINT}"
     rf"(?: in {_COLOUR})?", _write),
    (rf"crop {_BOX}", lambda image, m: image.crop(_box(image, m.groups()))),
    (r"crop (left|right|top|upper|bottom|lower) half", _half),
    (rf"draw (?:{_COLOUR} )?(?:box|rectangle) (?:at |around )?{_BOX}", _draw_box),
    (rf"(?:fill|cover) (?:box |area )?{_BOX}(?: (?:with|in) {_COLOUR})?", _fill),
    (r"(?:resize|scale) (\d{1,5}) ?(?:x|×|by) ?(\d{1,5})(?: pixels)?", _resize),
    (r"(?:resize|scale)(?: by)? (\d{1,4}(?:\.\d+)?) ?(%|percent)?", _scale),
    (r"rotate(?: by)?(?: (\d{1,3}(?:\.\d+)?))? ?(?:degrees|°)?"
     r"(?: (?:(?:counter|anti)?-?clockwise|left|right))?", _rotate),
    (r"(?:flip|mirror)(?: horizontally| vertically| upside down)?", _flip),
    (r"gr[ae]y ?(?:scale)?|black[ -]and[ -]white|monochrome",
     lambda image, m: ImageOps.grayscale(image).convert("RGB")),
    (r"invert(?: colou?rs)?|negative", lambda image, m: ImageOps.invert(image)),
    (r"sepia", _sepia),
    (r"(?:increase|raise|higher|decrease|reduce|lower|less) contrast", _contrast),
    (r"blur", lambda image, m: image.filter(ImageFilter.GaussianBlur(max(image.size) / 150))),
    (r"sharp(?:en|er)?", lambda image, m: image.filter(ImageFilter.UnsharpMask())),
    (r"(?:increase|raise) brightness|bright(?:en|er)|light(?:en|er)",
     lambda image, m: ImageEnhance.Brightness(image).enhance(1.4)),
    (r"(?:decrease|reduce|lower) brightness|dark(?:en|er)",
     lambda image, m: ImageEnhance.Brightness(image).enhance(0.6)),
)  # fmt: skip
"""Patterns of operations, and what each does."""
