"""Draws sheets: receipts, price boards, notes, tables and bar charts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from sport.pocket.grammar import Sheet

Colour = tuple[int, int, int]

_PLAIN = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold")
_FONTS = {
    "receipt": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSans", "DejaVuSerif"),
    "board": _PLAIN,
    "note": (*_PLAIN, "DejaVuSans-Oblique", "DejaVuSerif-Italic"),
    "table": _PLAIN,
    "chart": _PLAIN,
}
_DARK_INKS: tuple[Colour, ...] = ((20, 20, 20), (25, 35, 90), (70, 20, 25), (20, 60, 40))
_LIGHT_INKS: tuple[Colour, ...] = ((245, 245, 240), (250, 240, 170), (200, 235, 255))
_DARK_GROUNDS: tuple[Colour, ...] = ((25, 30, 35), (20, 50, 40), (30, 35, 75), (70, 30, 30))
_LIGHT_GROUNDS: tuple[Colour, ...] = (
    (250, 250, 248), (245, 238, 220), (232, 240, 248), (238, 246, 234),
)  # fmt: skip
_DESKS: tuple[Colour, ...] = ((120, 90, 65), (90, 100, 110), (70, 85, 70), (150, 140, 130))
_NOTES: tuple[Colour, ...] = ((255, 246, 170), (252, 232, 200), (225, 243, 215), (255, 226, 230))
_BARS: tuple[Colour, ...] = ((66, 120, 190), (205, 110, 60), (80, 150, 90), (130, 100, 170))


@dataclass(frozen=True)
class _Page:
    """Where to write, with what: the text area is (left, top, right, bottom)."""

    draw: ImageDraw.ImageDraw
    area: tuple[int, int, int, int]
    font: ImageFont.FreeTypeFont
    ink: Colour
    rng: random.Random

    def width(self, text: str) -> int:
        return round(self.font.getlength(text))

    def write(self, x: float, y: float, text: str, anchor: str) -> None:
        self.draw.text((round(x), round(y)), text, self.ink, self.font, anchor)

    def rule(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.draw.line((round(x0), round(y0), round(x1), round(y1)), colour, 1)


def draw_sheet(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Draws a sheet of at most five rows."""
    return _LAYOUTS[sheet.layout](sheet, size, rng)


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _page(
    image: Image.Image,
    area: tuple[int, int, int, int],
    sheet: Sheet,
    ink: Colour,
    rng: random.Random,
) -> _Page:
    """A page in the largest font, up to a drawn size, in which every row fits the area."""
    name, size = rng.choice(_FONTS[sheet.layout]), rng.randint(18, 24)
    left, _, right, _ = area
    while size > 14 and right - left < _needed(sheet, _font(name, size)):
        size -= 1
    return _Page(ImageDraw.Draw(image), area, _font(name, size), ink, rng)


def _needed(sheet: Sheet, font: ImageFont.FreeTypeFont) -> float:
    """Width of the widest possible row, with the gaps between its cells (or its bar)."""
    rows = [*sheet.rows, *([("", *sheet.header)] if sheet.header else [])]
    columns = [max(font.getlength(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    return sum(columns) + (110 if sheet.layout == "chart" else 34 * (len(columns) - 1))


def _baselines(page: _Page, lines: int) -> list[float]:
    """The middles of equally high lines, a little jittered as a whole."""
    _, top, _, bottom = page.area
    pitch = min((bottom - top) / lines, page.font.size * page.rng.uniform(1.6, 2.4))
    free = bottom - top - pitch * lines
    start = top + free * page.rng.uniform(0.1, 0.9)
    return [start + pitch * (i + 0.5) for i in range(lines)]


def _receipt(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = Image.new("RGB", size, rng.choice(_DESKS))
    width, height = size
    left, top = rng.randint(8, width // 14), rng.randint(6, 14)
    right, bottom = width - rng.randint(8, width // 14), height - rng.randint(6, 14)
    ImageDraw.Draw(image).rectangle((left, top, right, bottom), (250, 249, 244))
    area = (left + 12, top + 6, right - 12, bottom - 6)
    page = _page(image, area, sheet, _DARK_INKS[0], rng)
    return _list(page, sheet, image, (150, 150, 150))


def _list(page: _Page, sheet: Sheet, image: Image.Image, line: Colour | None) -> Image.Image:
    """Names on the left, numbers on the right, a centred title above."""
    left, _, right, _ = page.area
    middles = _baselines(page, len(sheet.rows) + bool(sheet.title))
    if sheet.title:
        y = middles.pop(0)
        page.write((left + right) / 2, y, sheet.title, "mm")
        if line:
            below = (y + middles[0]) / 2
            page.rule(left, below, right, below, line)
    for (name, number), y in zip(sheet.rows, middles, strict=True):
        page.write(left, y, name, "lm")
        page.write(right, y, number, "rm")
    return image


def _board(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    dark = rng.random() < 0.6
    image = Image.new("RGB", size, rng.choice(_DARK_GROUNDS if dark else _LIGHT_GROUNDS))
    ink = rng.choice(_LIGHT_INKS if dark else _DARK_INKS)
    width, height = size
    frame = rng.randint(0, 9)
    if frame:
        ImageDraw.Draw(image).rectangle(
            (0, 0, width - 1, height - 1), outline=rng.choice(_DESKS), width=frame
        )
    side = frame + rng.randint(10, 24)
    area = (side, frame + 6, width - side, height - frame - 6)
    return _list(_page(image, area, sheet, ink, rng), sheet, image, None)


def _note(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A slip of coloured paper; the numbers stand near their names."""
    paper = rng.choice(_NOTES)
    image = Image.new("RGB", size, paper)
    width, height = size
    left = rng.randint(16, 40)
    page = _page(image, (left, 8, width - 16, height - 8), sheet, rng.choice(_DARK_INKS), rng)
    lines = len(sheet.rows) + bool(sheet.title)
    middles = _baselines(page, lines)
    shade = (paper[0] - 22, paper[1] - 22, paper[2] - 18)
    if rng.random() < 0.5:
        for y in middles:
            below = y + page.font.size * 0.75
            page.rule(0, below, width, below, shade)
    if sheet.title:
        page.write(left, middles.pop(0), sheet.title, "lm")
    column = left + max(page.width(row[0]) for row in sheet.rows) + rng.randint(28, 70)
    for (name, number), y in zip(sheet.rows, middles, strict=True):
        page.write(left, y, name, "lm")
        page.write(column, y, number, "lm")
    return image


def _table(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    image = Image.new("RGB", size, rng.choice(_LIGHT_GROUNDS))
    width, height = size
    area = (rng.randint(8, 16), rng.randint(8, 16), width - rng.randint(8, 16), height - 12)
    left, top, right, bottom = area
    page = _page(image, (left + 8, top, right, bottom), sheet, rng.choice(_DARK_INKS), rng)
    names = 16 + max(page.width(row[0]) for row in sheet.rows)
    column = (right - left - names) / len(sheet.header)
    edges = [left, *(left + names + column * i for i in range(len(sheet.header) + 1))]
    lines = len(sheet.rows) + 1
    pitch = min((bottom - top) / lines, page.font.size * rng.uniform(1.8, 2.6))
    grid = rng.choice(((120, 120, 120), (160, 160, 170), (90, 110, 140)))
    if rng.random() < 0.5:
        page.draw.rectangle((left, top, right, round(top + pitch)), (215, 222, 230))
    for i in range(lines + 1):
        page.rule(left, top + pitch * i, edges[-1], top + pitch * i, grid)
    for x in edges:
        page.rule(x, top, x, top + pitch * lines, grid)
    for i, row in enumerate((("", *sheet.header), *sheet.rows)):
        y = top + pitch * (i + 0.5)
        page.write(left + 8, y, row[0], "lm")
        for start, end, cell in zip(edges[1:], edges[2:], row[1:], strict=False):
            page.write((start + end) / 2, y, cell, "mm")
    return image


def _chart(sheet: Sheet, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Horizontal bars: name, bar, and the value at the bar's end."""
    image = Image.new("RGB", size, rng.choice(_LIGHT_GROUNDS))
    width, height = size
    left = rng.randint(10, 20)
    page = _page(image, (left, 8, width - 12, height - 8), sheet, rng.choice(_DARK_INKS), rng)
    middles = _baselines(page, len(sheet.rows) + bool(sheet.title))
    if sheet.title:
        page.write(width / 2, middles.pop(0), sheet.title, "mm")
    start = left + max(page.width(row[0]) for row in sheet.rows) + 12
    longest = width - 12 - start - page.width("00") - 14
    largest = max(int(row[1]) for row in sheet.rows)
    thick, several = page.font.size * rng.uniform(0.35, 0.55), rng.random() < 0.5
    colours = rng.sample(_BARS, len(_BARS))
    page.rule(start, middles[0] - thick * 2, start, middles[-1] + thick * 2, (120, 120, 120))
    for i, ((name, value), y) in enumerate(zip(sheet.rows, middles, strict=True)):
        end = start + max(4, longest * int(value) / largest)
        colour = colours[i % len(colours) if several else 0]
        page.draw.rectangle((start, round(y - thick), round(end), round(y + thick)), colour)
        page.write(left, y, name, "lm")
        page.write(end + 14, y, value, "lm")
    return image


_LAYOUTS: dict[str, Callable[[Sheet, tuple[int, int], random.Random], Image.Image]] = {
    "receipt": _receipt,
    "board": _board,
    "note": _note,
    "table": _table,
    "chart": _chart,
}
