"""The losses, as formulas."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    chosen_reference: Tensor,
    rejected_reference: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Step-wise direct preference optimisation (paper, section 3.4).

    For an action that is preferred and one that is not, after the same history::

        L = -log σ(β log π(a_pre|x)/π_ref(a_pre|x) - β log π(a_dis|x)/π_ref(a_dis|x))

    With label smoothing ε the loss is ``(1 - ε) L(margin) + ε L(-margin)`` (conservative DPO).

    Args:
        chosen: log π(a_pre|x), ``(pairs,)``, in nats.
        rejected: log π(a_dis|x), ``(pairs,)``.
        chosen_reference: The same under the reference.
        rejected_reference: The same under the reference.
        beta: How strongly the policy is held to the reference.
        label_smoothing: Share ε of the preferences that are taken to be wrong.

    Returns:
        The losses and the reward margins, ``(pairs,)`` each.
    """
    margin = beta * ((chosen - chosen_reference) - (rejected - rejected_reference))
    right, wrong = -F.logsigmoid(margin), -F.logsigmoid(-margin)
    return (1 - label_smoothing) * right + label_smoothing * wrong, margin
