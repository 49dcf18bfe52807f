"""Long texts in pages, so that no observation holds more than a page of one."""

from __future__ import annotations

from sport.tools.search import Index

PAGE = 6_000
"""Characters of a page."""


def in_pages(text: str, size: int = PAGE) -> list[str]:
    """The pages of a text, cut between lines where it can be; at least one, which may be empty."""
    pages: list[str] = []
    rest = text.strip()
    while len(rest) > size:
        cut = max(rest.rfind("\n\n", size // 2, size), 0) or rest.rfind("\n", size // 2, size)
        cut = cut if cut > 0 else size
        pages.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip("\n")
    return [*pages, rest]


def best_pages(pages: list[str], question: str, most: int) -> list[int]:
    """Indices of the pages that fit a question best, best first; none where no word is on any."""
    found = Index(("", page) for page in pages).find(question, most)
    return [number for number, _, _ in found]
