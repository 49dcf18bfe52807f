"""How many requests synthesis will make, reckoned before it asks any."""

from __future__ import annotations

import math
from typing import NamedTuple

from sport.synthesis.asking import RE_ASKS
from sport.synthesis.config import LLMSettings
from sport.synthesis.llm import FIRST_YIELD, LEAST_YIELD
from sport.synthesis.needs import MAX_FILES

_MADE = 0.5
"""Files a draft that have to be made, where that is allowed, as is likely."""
_REWRITTEN = 0.2
"""Share of drafts that are checked twice, as is likely."""


class Plan(NamedTuple):
    """Requests, by what they ask for."""

    queries: float
    needs: float
    made: float
    checks: float


def plan(settings: LLMSettings, n: int, most: bool) -> Plan:
    """The requests for n tasks: as is likely, or at most."""
    if most:
        times = 1 + RE_ASKS
        batches = settings.waves * math.ceil(n / LEAST_YIELD / settings.batch) * times
        drafts = batches * settings.batch
        # A file whose code fails is asked for once more.
        return Plan(batches, drafts, 2 * MAX_FILES * drafts * settings.make_files, 2 * drafts)
    likely = n / FIRST_YIELD
    batches = math.ceil(likely / settings.batch)
    return Plan(batches, likely, _MADE * likely * settings.make_files, (1 + _REWRITTEN) * likely)
