"""What a model has read of a chat, kept so that the chat's next step does not read it again.

A trajectory's prompts grow: the history of step i + 1 begins with that of step i. So what was
computed of a prompt is kept until the next time the policy is asked, which in lockstep is the next
step of the same trajectories, and only what was added to it is read then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sport.policy.encode import Encoded

Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, ``(heads, tokens, width)`` each."""


@dataclass(frozen=True)
class History:
    """A chat that has been read.

    Attributes:
        chat: The chat.
        layers: What attention needs of it.
        shift: How far its images shift the positions of what follows.
    """

    chat: Encoded
    layers: Layers
    shift: int

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)


class Histories:
    """Chats that have been read, for the next step of each. Bounded in memory."""

    def __init__(self, limit: int) -> None:
        """Keeps at most ``limit`` bytes; 0 keeps nothing."""
        self._limit = limit
        self._known: dict[tuple[int, ...], History] = {}
        self._new: dict[tuple[int, ...], History] = {}
        self._bytes = 0

    def take(self, chat: Encoded) -> History | None:
        """The longest chat that was read and that this one goes on from, if there is one.

        It must have the same pictures: new ones are read together with the whole chat.
        """
        for key in sorted(self._known, key=len, reverse=True):
            length = len(key)
            known = self._known[key]
            if (
                length < len(chat.ids)
                and known.chat.pictures == chat.pictures
                and chat.ids[:length] == known.chat.ids
            ):
                return self._known.pop(key)
        return None

    def keep(self, histories: Sequence[History]) -> None:
        """Keeps chats that have been read now, as long as there is room."""
        for history in histories:
            if self._bytes + history.nbytes <= self._limit:
                self._bytes += history.nbytes
                self._new[tuple(history.chat.ids)] = history

    def turn(self) -> None:
        """Ends a step: what was not gone on from is dropped."""
        self._known, self._new, self._bytes = self._new, {}, 0
