"""What the tools return where they do their work perfectly, without any picture.

The embedded controller's demonstrations run on these, since drawing and reading pictures would
cost a hundred times more. A test holds the formats against those of the real tools.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sport.pocket.corpus import documents
from sport.pocket.grammar import COLOURS, Problem, Scene, Sheet, Thing
