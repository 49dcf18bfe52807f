"""A policy of a user's own, in Python: `module:attribute`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from sport.policy.base import Policy
from sport.tools.load import load_attribute


def load_script(spec: str, root: Path) -> Policy:
    """The policy that ``spec`` names, such as ``my_policy:policy`` or ``my_policy.py:policy``.

    Args:
        spec: A module below ``root`` or an installed one, and the name of the policy in it.
        root: The recipe's folder.

    Raises:
        ToolNotFound: The module does not load, or has no such name.
        ValueError: What it names is no policy.
    """
    found = load_attribute(spec.replace(".py:", ":"), root, "policy.model")
    if not hasattr(found, "sample") or not isinstance(getattr(found, "name", None), str):
        raise ValueError(
            f"policy.model: {spec!r} is a {type(found).__name__}: a policy has a `name` and a "
            "coroutine method `sample(requests)` (see sport.policy.base.Policy)"
        )
    return cast(Policy, found)
