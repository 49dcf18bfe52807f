"""What a code writes down: its syntax tree, its numbers, its strings."""

from __future__ import annotations

import ast
import math
from functools import lru_cache

from sport.verify.evidence import key

_MAX_CODE = 20_000


@lru_cache(maxsize=16384)
def parse(code: str) -> ast.Module | None:
    """The syntax tree, or ``None`` where the code is not valid or too long to be read."""
    if len(code) > _MAX_CODE:
        return None
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=16384)
def constants(code: str) -> frozenset[float]:
    """All numbers that a code writes down, in whatever place."""
    tree = parse(code)
    nodes = ast.walk(tree) if tree else ()
    return frozenset().union(
        *(numbers_of_literal(n.value) for n in nodes if isinstance(n, ast.Constant))
    )


@lru_cache(maxsize=16384)
def strings(code: str, tools: frozenset[str]) -> frozenset[str]:
    """The string literals of a code, those handed to tools left out."""
    tree = parse(code)
    if tree is None:
        return frozenset()
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and callee(n) in tools]
    handed = {id(c) for call in calls for c in ast.walk(call)}
    texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in handed)
    return frozenset(n.value for n in texts if isinstance(n.value, str))


def callee(node: ast.Call) -> str:
    """Name of the function that is called; ``""`` if it is not a plain name."""
    return node.func.id if isinstance(node.func, ast.Name) else ""


def numbers_of_literal(value: object) -> frozenset[float]:
    """The number that a literal is: one, or none. A bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return frozenset()
    try:
        number = float(value)
    except OverflowError:
        return frozenset({math.inf})
    return frozenset({key(number)})
