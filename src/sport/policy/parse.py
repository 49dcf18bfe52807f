"""Reading an action out of a model's text.

The format is the paper's: ``Thought: … Code:`` and a fenced block of Python, then the end marker.
Reading is tolerant where the meaning is clear and strict where it is not. An action that cannot
be read is kept as what it is, with an error that tells the model what to change.
"""

from __future__ import annotations

import re
import textwrap
from typing import Literal

from sport.types import END_OF_ACTION, Action

FORMAT_HINT = f"Write `Thought: …`, then `Code:` and one block ```py … ```{END_OF_ACTION}"
"""The format in a sentence, as errors repeat it to the model."""

_PYTHON_TAGS = frozenset({"", "py", "python", "python3"})
_BLOCK = re.compile(r"```([\w+#.-]*)[ \t]*\n(.*?)(?:^[ \t]*```|```[ \t]*$|\Z)", re.S | re.M)
_CODE_LABEL = re.compile(r"\bCode:\s*\Z")


def parse_action(
    text: str,
    finish: Literal["stop", "length"] = "stop",
    temperature: float = 0.0,
    logp: float | None = None,
) -> Action:
    """Reads thought and code out of a model's text.

    Tolerated: no thought, another tag of Python or none, a missing end marker or closing fence
    where the model stopped by itself, several blocks (joined in order), indented blocks.

    Args:
        text: The model's text, kept verbatim in the action.
        finish: ``length`` if the model ran out of tokens.
        temperature: The temperature it was sampled at.
        logp: Sum of its tokens' log-probabilities, in nats.
    """
    body, marker, _ = text.replace("\r\n", "\n").partition(END_OF_ACTION)
    thought, code, error = _read(body)
    if finish == "length" and not marker:
        error = (
            f"The action was cut off before {END_OF_ACTION}: it is too long. "
            "Think in one or two sentences and do less in one step."
        )
    return Action(
        text=text,
        thought=thought,
        code=None if error else code,
        error=error,
        finish=finish,
        temperature=temperature,
        logp=logp,
    )


def _read(body: str) -> tuple[str, str, str | None]:
    """Thought, code and error of a text without its end marker."""
    blocks = list(_BLOCK.finditer(body))
    if not blocks:
        return _thought(body), "", f"There is no code block. {FORMAT_HINT}."
    thought = _thought(body[: blocks[0].start()])
    foreign = [m[1] for m in blocks if m[1].lower() not in _PYTHON_TAGS]
    if foreign:
        return thought, "", f"A block is marked `{foreign[0]}`; only Python runs. {FORMAT_HINT}."
    codes = [textwrap.dedent(m[2]).strip("\n").rstrip() for m in blocks]
    code = "\n".join(c for c in codes if c)
    return thought, code, None if code else f"The code block is empty. {FORMAT_HINT}."


def _thought(text: str) -> str:
    return _CODE_LABEL.sub("", text).strip().removeprefix("Thought:").strip()
