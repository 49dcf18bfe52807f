"""Step-wise DPO over whole sequences: any architecture, and the reference for faster packings.

A step's pairs share their history and the chosen action, so each different candidate of a step is
forwarded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sport.policy.encode import action_ids, encode
from sport.policy.messages import history
from sport.tune.checkpoint import identity_of
from sport.tune.config import PairConfig, StepDPOConfig
from sport.tune.fit import Hooks
from sport.tune.logps import Row, action_row, group_by_length, padded, sequence_logps
from sport.tune.pairs import owners_of
from sport.tune.step_dpo import StepDPO
from sport.types import PreferencePair, Trajectory


@dataclass(frozen=True)
class StepUnit:
    """The paired candidates of one step; see :class:`sport.tune.step_dpo.Unit`."""

    rows: tuple[Row, ...]
    pairs: tuple[tuple[int, int], ...]
    places: tuple[int, ...]

    @property
    def targets(self) -> tuple[int, ...]:
        """Number of target tokens of each candidate."""
        return tuple(r.targets for r in self.rows)

    @property
    def tokens(self) -> int:
        """Number of tokens that a forward sees, padding left out."""
        return sum(r.length for r in self.rows)

    def digest(self) -> str:
        """Digest of the rows, their pictures and their targets."""
        return identity_of([row.digest() for row in self.rows])

    @property
    def area(self) -> int:
        """Number of tokens of a forward of this unit alone, padding included."""
        return len(self.rows) * padded(max(r.length for r in self.rows))


class PairwisePacking:
    """Every candidate is a whole sequence."""

    def __init__(self, token_budget: int) -> None:
        """Takes the number of tokens of a forward, padding included."""
        self._budget = token_budget

    def serving(
        self,
        model: nn.Module,
        processor: Any,
        trajectories: Sequence[Trajectory],
    ) -> tuple[PairwisePacking, str | None]:
        """This packing: it serves every model."""
        return self, None

    def units(
        self, processor: Any, trajectories: Sequence[Trajectory], pairs: Sequence[PreferencePair]
    ) -> list[StepUnit]:
        """One unit a step; one a pair where a step exceeds the budget."""
        by_step: dict[tuple[str, int, int], list[int]] = {}
        for place, pair in enumerate(pairs):
            by_step.setdefault((pair.task_id, pair.round, pair.step), []).append(place)
        owners = owners_of(trajectories)
        units = []
        for (task_id, round_, _), places in by_step.items():
            unit = _unit(processor, owners[task_id, round_], pairs, places)
            if unit.area <= self._budget:
                units.append(unit)
            else:
                units += [_unit(processor, owners[task_id, round_], pairs, [p]) for p in places]
        return units

    def forwards(self, units: Sequence[StepUnit]) -> list[list[int]]:
        """Units of similar length, up to the budget; one that exceeds it alone is alone."""
        lengths = [max(r.length for r in unit.rows) for unit in units]
        return group_by_length(lengths, [len(unit.rows) for unit in units], self._budget)

    def logps(self, model: nn.Module, processor: Any, units: Sequence[StepUnit]) -> list[Tensor]:
        """Summed log-probabilities of each unit's candidates, by one forward."""
        sums = sequence_logps(model, processor, [r for unit in units for r in unit.rows])
        return list(sums.split([len(unit.rows) for unit in units]))


class PairwiseDPO(StepDPO):
    """Step-wise DPO that forwards every candidate as a whole sequence."""

    def __init__(
        self,
        config: StepDPOConfig,
        pairs: PairConfig | None = None,
        hooks: Hooks | None = None,
        cache: Path | None = None,
    ) -> None:
        """Takes the settings; see :class:`sport.tune.step_dpo.StepDPO`."""
        super().__init__(PairwisePacking(config.token_budget), config, pairs, hooks, cache)


def _unit(
    processor: Any, trajectory: Trajectory, pairs: Sequence[PreferencePair], places: Sequence[int]
) -> StepUnit:
    step = trajectory.steps[pairs[places[0]].step]
    prompt = encode(processor, history(trajectory.opening, trajectory.steps[: step.index]))
    rows: dict[tuple[int, ...], int] = {}

    def place_of(candidate: int) -> int:
        ids = tuple(action_ids(processor, step.candidates[candidate].action.text))
        return rows.setdefault(ids, len(rows))

    indices = tuple((place_of(pairs[p].chosen), place_of(pairs[p].rejected)) for p in places)
    return StepUnit(tuple(action_row(prompt, ids) for ids in rows), indices, tuple(places))
