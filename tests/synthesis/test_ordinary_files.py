"""What ordinary files hold (pictures, charts, notes, addresses to click on) is taken in."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import docx
import openpyxl
import pandas
import pptx
import pytest
from matplotlib.figure import Figure
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.drawing.image import Image as CellImage
from openpyxl.formatting.rule import CellIsRule
from openpyxl.worksheet.datavalidation import DataValidation
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from sport.synthesis.readback import check


def picture() -> io.BytesIO:
    data = io.BytesIO()
    Image.effect_noise((300, 200), 60).save(data, "PNG")
    data.seek(0)
    return data


def saved(save: Callable[[Any], object]) -> bytes:
    data = io.BytesIO()
    save(data)
    return data.getvalue()


def workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    for i in range(2_000):
        sheet.append([f"item {i % 7}", i, 1.5])
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=10))
    sheet.add_chart(chart, "E5")
    sheet.add_image(CellImage(picture()), "G1")
    sheet["A1"].hyperlink, sheet["B1"].hyperlink = "https://harbour.example/?a=1&b=2", "#Sheet!A5"
    choice = DataValidation(type="list", formula1='"a,b"')
    choice.add("C1")
    sheet.add_data_validation(choice)
    sheet.conditional_formatting.add("B1:B9", CellIsRule(operator="greaterThan", formula=["5"]))
    sheet["A2"].comment = Comment("a note", "me")
    book.create_sheet("empty")
    return saved(book.save)


def document() -> bytes:
    made = docx.Document()
    made.sections[0].header.paragraphs[0].add_run("top").add_picture(picture())
    made.add_table(3, 3).cell(0, 0).text = "cell"
    made.add_comment(made.add_paragraph("x").runs, text="a note")
    return saved(made.save)


def slides() -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    slide.shapes.add_picture(picture(), 0, 0)
    slide.shapes.add_table(2, 2, 0, 0, 99_999, 99_999)
    slide.notes_slide.notes_text_frame.text = "a note"
    run = slide.shapes.add_textbox(0, 0, 9_999, 9_999).text_frame.paragraphs[0].add_run()
    run.text, run.hyperlink.address = "there", "mailto:harbour@example.org"
    return saved(deck.save)


def drawn_pdf() -> bytes:
    data = io.BytesIO()
    canvas = Canvas(data)
    canvas.drawImage(ImageReader(picture()), 0, 0)
    canvas.addOutlineEntry("first", "first")
    canvas.bookmarkPage("first")
    canvas.linkURL("https://harbour.example/", (0, 0, 9, 9))
    canvas.acroForm.textfield(name="field", x=9, y=9)
    canvas.save()
    return data.getvalue()


def plotted_pdf() -> bytes:
    figure = Figure()
    figure.subplots().set_title("$x^2$")
    return saved(lambda data: figure.savefig(data, format="pdf"))


def frame() -> bytes:
    table = pandas.DataFrame({"a": range(9)})
    return saved(lambda data: table.to_excel(data, engine="xlsxwriter"))


@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        (".xlsx", workbook),
        (".xlsx", frame),
        (".docx", document),
        (".pptx", slides),
        (".pdf", drawn_pdf),
        (".pdf", plotted_pdf),
    ],
)
def test_they_are_taken(suffix: str, make: Callable[[], bytes]) -> None:
    check(make(), suffix)
