"""Plain text models: a tokenizer in the place of a processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TextProcessor:
    """What encoding needs of a processor, around a tokenizer with a chat template.

    A chat with images is refused where it is encoded: there is no image token to stand for one.

    Attributes:
        tokenizer: The tokenizer.
        chat_template: Its template.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Takes a tokenizer of transformers."""
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template

    def apply_chat_template(self, chat: Sequence[dict[str, Any]], **options: Any) -> str:
        """Renders a chat whose contents are lists of parts, as processors take it."""
        plain = [
            {"role": turn["role"], "content": "".join(p.get("text", "") for p in turn["content"])}
            for turn in chat
        ]
        rendered: str = self.tokenizer.apply_chat_template(plain, **options)
        return rendered

    def save_pretrained(self, folder: str) -> None:
        """Saves the tokenizer."""
        self.tokenizer.save_pretrained(folder)
