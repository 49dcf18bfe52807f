"""What a chat template writes around the texts of a chat.

The template is rendered with a marker in place of every text, and the marker is then replaced. So
a template cannot change a text (many strip white space), and what it writes depends on the roles
and the number of images alone, which makes it cheap to remember.
"""

from __future__ import annotations

from typing import Any

Shape = tuple[tuple[str, int], ...]
"""Role and number of images of every message."""


class EncodingError(ValueError):
    """A chat cannot be encoded for this model without loss; says why."""


def skeleton(processor: Any, shape: Shape, add_generation_prompt: bool) -> list[str]:
    """What the template writes before, between and after the texts: ``len(shape) + 1`` pieces.

    Raises:
        EncodingError: The template drops or repeats a text.
    """
    marks = [f"SPORTTEXT{i:04d}END" for i in range(len(shape))]
    chat = [
        {
            "role": role,
            "content": [*[{"type": "image"}] * images, {"type": "text", "text": mark}],
        }
        for (role, images), mark in zip(shape, marks, strict=True)
    ]
    rendered: str = processor.apply_chat_template(
        chat, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    pieces = []
    for mark in marks:
        piece, found, rendered = rendered.partition(mark)
        if not found or mark in rendered:
            raise EncodingError(
                "the model's chat template drops, repeats or reorders the texts of a chat with the "
                f"roles {', '.join(role for role, _ in shape)}: use another template"
            )
        pieces.append(piece)
    return [*pieces, rendered]


def check_prefix(processor: Any) -> None:
    """Asserts that the template of k messages is a prefix of that of k + 1.

    The action's text follows the generation prompt, and what was rendered before it never changes.
    So a history can be encoded once, and a trajectory's candidates form a trie.

    Raises:
        EncodingError: The template rewrites earlier turns.
    """
    turns: Shape = (("user", 1), ("assistant", 0), ("user", 0), ("assistant", 0), ("user", 1))
    for k in (1, 3):
        before = skeleton(processor, turns[:k], True)
        after = skeleton(processor, turns[: k + 2], True)
        for early, late in zip(before, after, strict=False):
            if early != late:
                raise EncodingError(
                    f"the model's chat template rewrites the first {k} messages when more follow "
                    f"({early!r} becomes {late!r}): use a template that only appends"
                )
