"""Code as a model writes it, one for each kind of file: each shows :data:`FACT`, or its year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sport.synthesis.asking import Unanswered, Unusable
from sport.types import Message

T = TypeVar("T")

FACT = "The harbour opened in 1874 with 12 cranes."

CHART = """
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(6, 4), dpi=150)
bars = ax.bar(["Harbour", "Mill Lane"], [1874, 475])
ax.bar_label(bars, fontsize=16)
ax.set_title("Visitors in thousands", fontsize=18)
fig.savefig("chart_0.png")
"""

RECEIPT = """
from PIL import Image, ImageDraw, ImageFont
image = Image.new("RGB", (500, 300), "white")
draw = ImageDraw.Draw(image)
for row, text in enumerate(["Harbour Cafe", "Receipt 1874", "Tea 5.32", "Total 5.32"]):
    draw.text((40, 30 + 60 * row), text, "black", ImageFont.load_default(36))
image.save("receipt_0.png")
"""

SPREADSHEET = f"""
import openpyxl
book = openpyxl.Workbook()
book.active.append(["fact", "year"])
book.active.append([{FACT!r}, 1874])
book.save("spreadsheet_0.xlsx")
"""

DOCUMENT = f"""
import io
import docx
import matplotlib.pyplot as plt
from docx.opc.constants import RELATIONSHIP_TYPE as KIND
fig, ax = plt.subplots()
ax.plot([1, 2])
drawn = io.BytesIO()
fig.savefig(drawn)
drawn.seek(0)
document = docx.Document()
document.add_heading("History", 1)
document.add_paragraph({FACT!r})
document.add_picture(drawn)
document.part.relate_to("https://harbour.example/", KIND.HYPERLINK, is_external=True)
document.save("document_0.docx")
"""

SLIDES = f"""
import pptx
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
deck = pptx.Presentation()
slide = deck.slides.add_slide(deck.slide_layouts[5])
slide.shapes.title.text = {FACT!r}
data = CategoryChartData()
data.categories = ["1874", "1875"]
data.add_series("cranes", (12, 13))
slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 2000000, 5000000, 4000000, data)
deck.save("slides_0.pptx")
"""

PDF = f"""
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table
from reportlab.lib.styles import getSampleStyleSheet
styles = getSampleStyleSheet()
parts = [Paragraph({FACT!r}, styles["Title"]), Table([["year", "cranes"], [1874, 12]])]
SimpleDocTemplate("pdf_0.pdf").build(parts)
"""

TABLE = """
import csv
with open("text_0.csv", "w", newline="") as file:
    csv.writer(file).writerows([["place", "year"], ["harbour", 1874]])
"""

TEXT = f"""
with open("text_0.txt", "w") as file:
    file.write({FACT!r})
"""


def answer(code: str) -> str:
    """A model's answer with this code in it."""
    return f"Here is the code:\n```python\n{code}\n```"


class Answers:
    """Prepared answers, given one after the other as an :class:`Ask` gives a model's."""

    def __init__(self, *texts: str) -> None:
        self._texts = iter(texts)
        self.chats: list[Sequence[Message]] = []

    async def __call__(
        self, messages: Sequence[Message], read: Callable[[str], T], label: str
    ) -> T:
        self.chats.append(messages)
        for _ in range(2):
            try:
                return read(next(self._texts))
            except Unusable as error:
                problem = str(error)
        raise Unanswered("unusable answer", problem)
