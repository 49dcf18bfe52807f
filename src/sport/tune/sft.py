"""Supervised tuning on the chosen actions: the start of the loop, and a control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sport.policy.encode import Encoded, action_ids, encode
from sport.policy.forward import base_model
from sport.policy.layouts import allow_layouts
from sport.policy.local import LocalPolicy
from sport.policy.messages import history
from sport.tune.adapter import trainable
from sport.tune.base import TuningError
from sport.tune.checkpoint import identity_of
from sport.tune.config import SFTConfig
from sport.tune.fit import Figures, Hooks, Lesson, fit
from sport.tune.logps import Row, action_row, group_by_length, sequence_logps
from sport.tune.pairs import is_undecided
from sport.tune.recompute import recomputing
from sport.tune.reference import model_digest
from sport.tune.sharding import sharded
from sport.tune.tree import Tree, build_tree
from sport.tune.tree_check import why_no_trees
from sport.tune.tree_forward import tree_logps
from sport.tune.tree_packing import first_fit
from sport.tune.workers import Workers
from sport.types import Trajectory


class SFT:
    """Raises the probability of the chosen actions.

    An action is a target where a verifier chose it, not a lot among others of equal score, and it
    ran without error; other actions and all observations are context. A trajectory is one sequence;
    where verdicts were given anew, an action that is now best but did not go on is a sequence of
    its own.
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
        rows = [row for t in trajectories for row in trajectory_rows(policy.processor, t)]
        if not rows:
            raise TuningError(
                f"none of {len(trajectories)} trajectories has an action that a verifier chose and "
                "that ran without error: there is nothing to learn from"
            )
        self._tell_left_out(trajectories)
        workers = Workers()
        with (
            trainable(policy, self.config.lora, self.config.seed) as model,
            sharded(model, workers),
            recomputing(model, self.config.gradient_checkpointing),
        ):
            reason = why_no_trees(model, policy.processor, trajectories)
            if reason is not None:
                self._hooks.say(f"trees do not serve this model, so padded rows do: {reason}")
            work = _Work(model, policy.processor, workers, trees=reason is None)
            lesson = Lesson(
                stage="sft",
                items=rows,
                sizes=[len(row.spans) for row in rows],
                batch_size=self.config.batch_actions,
                learn=lambda batch: self._learn(work, batch),
                content=identity_of(
                    model_digest(model, adapter=True), [row.digest() for row in rows]
                ),
            )
            return fit(model, lesson, self.config, self._hooks, out, workers)

    def _tell_left_out(self, trajectories: Sequence[Trajectory]) -> None:
        steps = [step for t in trajectories for step in t.steps]
        if undecided := sum(is_undecided(step) for step in steps):
            self._hooks.say(
                f"{undecided} of {len(steps)} steps are left out: their verifier scored another "
                "action as high as the best, and something else came of it"
            )

    def _learn(self, work: _Work, batch: list[Row]) -> Figures:
        targets = sum(row.targets for row in batch)
        device = base_model(work.model).device
        share = work.workers.share(batch, [row.length for row in batch])
        total = torch.zeros(1, dtype=torch.float64)
        groups = work.forwards(share, self.config.token_budget)
        forwards = [[share[i] for i in group] for group in groups]
        for rows, weight in work.workers.in_step(forwards, batch[:1]):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
                loss = -weight * work.logps(rows).sum() / targets
            loss.backward()
            total += loss.detach().double().cpu()
        return {
            "loss": float(work.workers.sum(total)),
            "actions": sum(len(row.spans) for row in batch),
            "targets": targets,
            "tokens": sum(row.length for row in batch),
        }


@dataclass(frozen=True)
class _Work:
    """What a tuning computes with.

    Attributes:
        model: The model.
        processor: Its processor.
        workers: The processes that learn together.
        trees: Whether rows lie one behind the other, as trees without branches do: nothing is
            padded.
    """

    model: nn.Module
    processor: Any
    workers: Workers
    trees: bool

    def forwards(self, rows: Sequence[Row], budget: int) -> list[list[int]]:
        """Which rows share a forward: groups of indices."""
        lengths = [row.length for row in rows]
        if self.trees:
            return first_fit(lengths, budget)
        return group_by_length(lengths, [1] * len(rows), budget)

    def logps(self, rows: Sequence[Row]) -> Tensor:
        """Sums of the log-probabilities of each row's targets."""
        if not self.trees:
            return sequence_logps(self.model, self.processor, rows)
        allow_layouts(self.model)
        found = tree_logps(self.model, [_bare_tree(row) for row in rows])
        return torch.stack([logps.sum() for logps in found])


def _bare_tree(row: Row) -> Tree:
    """A row as a tree without branches."""
    ids = row.chat.ids
    return build_tree(row.chat, [(start, ids[start:end]) for start, end in row.spans])


def trajectory_rows(processor: Any, trajectory: Trajectory) -> Iterator[Row]:
    """The sequences of a trajectory that hold its targets: none if it has no target."""
    along: list[int] = []
    for step in trajectory.steps:
        best = step.verdict.best
        if best is None or not step.candidates[best].ok or is_undecided(step):
            continue
        if best == step.chosen:
            along.append(step.index)
        else:
            past = encode(processor, history(trajectory.opening, trajectory.steps[: step.index]))
            yield action_row(past, action_ids(processor, step.candidates[best].action.text))
    if along:
        yield _winners_row(processor, trajectory, along)


def _winners_row(processor: Any, trajectory: Trajectory, targets: Sequence[int]) -> Row:
    """The winners' actions up to the last target, in one sequence."""
    chat = Encoded([])
    spans = []
    for step in trajectory.steps[: targets[-1] + 1]:
        assert step.winner is not None
        chat = encode(processor, history(trajectory.opening, trajectory.steps[: step.index]))
        ids = action_ids(processor, step.winner.action.text)
        if step.index in targets:
            spans.append((len(chat.ids), len(chat.ids) + len(ids)))
        chat = chat.plus(ids)
    return Row(chat, tuple(spans))
