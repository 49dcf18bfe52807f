"""Choosing tokens: every row has its own temperature, nucleus and random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_FEW = 64


class RowSampler:
    """Draws one token a row by inverting the distribution's cumulative sum.

    A row's random numbers are drawn in advance from its own seed, on the CPU, so that they depend
    neither on its neighbours nor on the device.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        temperatures: Sequence[float],
        top_p: Sequence[float],
        steps: int,
        suppress: Tensor,
    ) -> None:
        """Prepares ``len(seeds)`` rows.

        Args:
            seeds: One a row.
            temperatures: One a row; 0 takes the likeliest token.
            top_p: One a row.
            steps: The largest number of tokens of a row.
            suppress: Ids of tokens that must never be chosen.
        """
        device = suppress.device
        noise = [torch.rand(steps, generator=torch.Generator().manual_seed(s)) for s in seeds]
        self._noise = torch.stack(noise).to(device)
        self._temperatures = torch.tensor(temperatures, device=device)
        self._top_p = torch.tensor(top_p, device=device)
        self._suppress = suppress

    def pick(self, logits: Tensor, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Chooses the next tokens.

        Args:
            logits: ``(len(rows), vocabulary)``.
            rows: The rows that are still alive.
            step: Number of tokens that they have.

        Returns:
            The tokens, and their log-probabilities at temperature 1 over the whole vocabulary.
        """
        logps = logits.log_softmax(-1)
        allowed = logits.index_fill(-1, self._suppress, float("-inf"))
        tokens = allowed.argmax(-1)
        warm = (self._temperatures[rows] > 0).nonzero().squeeze(-1)
        if len(warm):
            which = rows[warm]
            tokens[warm] = _draw(
                allowed[warm] / self._temperatures[which, None],
                self._top_p[which],
                self._noise[which, step],
            )
        return tokens, logps.gather(-1, tokens[:, None]).squeeze(-1)


def _draw(logits: Tensor, top_p: Tensor, noise: Tensor) -> Tensor:
    probabilities, order = _likeliest(logits.softmax(-1), top_p)
    reached = probabilities.cumsum(-1)
    # The nucleus: the likeliest tokens up to the one with which top_p is reached.
    last = torch.searchsorted(reached, top_p[:, None]).clamp_(max=reached.shape[-1] - 1)
    target = noise[:, None] * reached.gather(-1, last)
    place = torch.minimum(torch.searchsorted(reached, target, right=True), last)
    drawn: Tensor = order.gather(-1, place).squeeze(-1)
    return drawn


def _likeliest(probabilities: Tensor, top_p: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest tokens in descending order: as many as the nuclei need, at least.

    A few tokens nearly always hold the nucleus, and finding them is much cheaper than sorting.
    """
    if probabilities.shape[-1] > _FEW:
        few, order = probabilities.topk(_FEW, dim=-1)
        if bool((few.sum(-1) >= top_p).all()):
            return few, order
    return probabilities.sort(dim=-1, descending=True, stable=True)
