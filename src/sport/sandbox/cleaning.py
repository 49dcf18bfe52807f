"""What candidates send, as it is shown: nothing of the host, and nothing that differs by chance."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import JsonValue

_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


class Cleaner:
    """Cleans values: no path of the host, no address, no broken characters."""

    def __init__(self, root: Path) -> None:
        """Paths below ``root``, the folder of all worlds, become those that candidates see."""
        self._root = str(root)
        self._paths = re.compile(re.escape(str(root)) + r"/\w+(?:/n/\w+)*/(?:work|base)(?![\w.-])")

    def __call__(self, value: JsonValue) -> JsonValue:
        """The value, cleaned."""
        if isinstance(value, str):
            if self._root in value:
                value = self._paths.sub("/workspace", value)
            if "0x" in value:
                value = _ADDRESS.sub("at 0x…", value)
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        if isinstance(value, dict):
            return {str(self(k)): self(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self(v) for v in value]
        return value
