"""What else a gold answer of GTA may read as, by the scorer ``sport``.

The paper's list: case variants; 0 to 10 also as words, 0 also as "no"; thousands with commas;
"12cm" also as "12 cm"; PM also as " PM" and "p.m.". Case needs no variants here, since the scorer
compares lower-cased text.
"""

from __future__ import annotations

import re

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""The numbers that also count as words."""

_LONG = re.compile(r"(?<![\d.,])\d{4,}(?![\d,])")
_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)([a-z]+)")


def variants(alias: str) -> tuple[str, ...]:
    """The alias, and what else it may read as; each once."""
    found = [alias]
    bare = alias.strip()
    if bare.isascii() and bare.isdigit() and int(bare) < len(WORDS):
        found.append(WORDS[int(bare)])
        found += ["no"] if int(bare) == 0 else []
    found.append(_LONG.sub(lambda m: f"{int(m[0]):,}" if m[0][0] != "0" else m[0], alias))
    unit = _WITH_UNIT.fullmatch(bare)
    if unit:
        found.append(f"{unit[1]} {unit[2]}")
    if "pm" in alias.lower():
        found += [re.sub("pm", form, alias, flags=re.IGNORECASE) for form in (" PM", "p.m.")]
    return tuple(dict.fromkeys(found))
