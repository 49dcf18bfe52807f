"""Pages of documentation that are run as tests: their blocks of code, and what is said of each."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass
class Block:
    """A block of code.

    Attributes:
        mark: The comment before it, which says what it is; empty without one.
        language: What its fence says.
        text: The code.
    """

    mark: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """All blocks of a page of the documentation, in order."""
    text = (DOCS / page).read_text()
    return [Block(m["mark"] or "", m["language"], m["text"]) for m in BLOCK.finditer(text)]
