"""Which pictures nearly equal each other: a perceptual hash and the search for close ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAR = 6
"""Most bits in which the hashes of near-duplicates differ: scaled and newly compressed copies of
photographs stay within it, and different photographs differ in about half of the 64."""

_ONES = np.array([value.bit_count() for value in range(2**16)], dtype=np.uint8)


def dhash(image: Image.Image) -> int:
    """The 64-bit difference hash: whether each of 8 x 8 cells is brighter than its right neighbour.

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    small = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    cells = np.asarray(small, dtype=np.int16)
    bits = (cells[:, :-1] > cells[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class NearIndex:
    """The hashes of all pictures of a library, compared by Hamming distance."""

    def __init__(self, hashes: Sequence[int]) -> None:
        """Starts with the hashes of pictures, in their order."""
        self._size = len(hashes)
        self._hashes: NDArray[np.uint64] = np.array(hashes, dtype=np.uint64)

    def closest(self, value: int) -> tuple[int, int] | None:
        """Number and distance (bits) of the closest picture within :data:`NEAR`, if any."""
        if not self._size:
            return None
        differing = self._hashes[: self._size] ^ np.uint64(value)
        distances = _ONES[differing.view(np.uint16)].reshape(-1, 4).sum(axis=1)
        number = int(distances.argmin())
        distance = int(distances[number])
        return (number, distance) if distance <= NEAR else None

    def add(self, value: int) -> None:
        """Appends the hash of the next picture."""
        if self._size == len(self._hashes):
            self._hashes = np.resize(self._hashes, max(64, 2 * self._size))
        self._hashes[self._size] = value
        self._size += 1
