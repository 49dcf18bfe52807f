"""Supervised tuning on the chosen actions: the start of the loop, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sport.policy.encode import Encoded, action_ids, encode
from sport.policy.forward import base_model
from sport.policy.local import LocalPolicy
from sport.policy.messages import history
from sport.tune.adapter import recomputing, trainable
from sport.tune.base import TuningError
from sport.tune.config import SFTConfig
from sport.tune.fit import Figures, Hooks, fit
from sport.tune.logps import Row, group_by_length, sequence_logps
from sport.types import Step, Trajectory


class SFT:
    """Raises the probability of the chosen actions; one sequence a trajectory.

    An action is a target where a verifier chose it and it ran without error; other actions and
    all observations are context.
    """

    def __init__(self, config: SFTConfig, hooks: Hooks | None = None) -> None:
        """Takes the settings.

        Args:
            config: Of the optimizer.
            hooks: Who wants to know how it goes.
        """
        self.config = config
        self._hooks = hooks or Hooks()

    def tune(self, trajectories: Sequence[Trajectory], policy: LocalPolicy, out: Path) -> Path:
        """Tunes the policy; see :class:`sport.tune.base.Tuner`.

        Raises:
            TuningError: No action was chosen, or the loss is not a number.
        """
        found = [trajectory_row(policy.processor, t) for t in trajectories]
        rows = [row for row in found if row is not None]
        if not rows:
            raise TuningError(
                f"none of {len(found)} trajectories has an action that a verifier chose and that "
                "ran without error: there is nothing to learn from"
            )
        with (
            trainable(policy, self.config.lora, self.config.seed) as model,
            recomputing(model, self.config.gradient_checkpointing),
        ):
            return fit(
                model,
                rows,
                [len(row.spans) for row in rows],
                self.config.batch_actions,
                lambda batch: self._learn(model, policy.processor, batch),
                self.config,
                "sft",
                self._hooks,
                out,
            )

    def _learn(self, model: nn.Module, processor: Any, batch: list[Row]) -> Figures:
        targets = sum(row.targets for row in batch)
        device, total = base_model(model).device, 0.0
        for group in self._forwards(batch):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
                logps = sequence_logps(model, processor, [batch[i] for i in group])
                loss = -logps.sum() / targets
            loss.backward()
            total += float(loss.detach())
        return {
            "loss": total,
            "actions": sum(len(row.spans) for row in batch),
            "targets": targets,
            "tokens": sum(row.length for row in batch),
        }

    def _forwards(self, batch: list[Row]) -> list[list[int]]:
        lengths = [row.length for row in batch]
        return group_by_length(lengths, [1] * len(batch), self.config.token_budget)


def trajectory_row(processor: Any, trajectory: Trajectory) -> Row | None:
    """A trajectory up to its last target; ``None`` if it has no target."""
    last = max((s.index for s in trajectory.steps if _is_target(s)), default=None)
    if last is None:
        return None
    chat = Encoded([])
    spans = []
    for step in trajectory.steps[: last + 1]:
        assert step.winner is not None
        chat = encode(processor, history(trajectory.opening, trajectory.steps[: step.index]))
        ids = action_ids(processor, step.winner.action.text)
        if _is_target(step):
            spans.append((len(chat.ids), len(chat.ids) + len(ids)))
        chat = chat.plus(ids)
    return Row(chat, tuple(spans))


def _is_target(step: Step) -> bool:
    chosen = step.verdict.best is not None and step.verdict.best == step.chosen
    return chosen and step.winner is not None and step.winner.ok
