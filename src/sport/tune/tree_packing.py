"""Packing of preference pairs into trees: a trajectory is forwarded once, with all its candidates.

A trajectory whose tree exceeds the token budget becomes one tree a step; nothing is ever truncated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sport.policy.encode import Encoded, action_ids, encode
from sport.policy.layouts import allow_layouts
from sport.policy.messages import history
from sport.policy.template import EncodingError
from sport.tune.pairs import owners_of
from sport.tune.pairwise import PairwisePacking
from sport.tune.reference import content_digest
from sport.tune.step_dpo import Packing
from sport.tune.tree import Tree, build_tree
from sport.tune.tree_check import why_no_trees
from sport.tune.tree_forward import tree_logps
from sport.types import PreferencePair, Trajectory


@dataclass(frozen=True, eq=False)
class TreeUnit:
    """The paired candidates of a trajectory, or of one step; see :class:`sport.tune.step_dpo.Unit`.

    Attributes:
        tree: The tree of their tokens.
        pairs: (chosen, rejected) as indices into the tree's candidates.
        places: The place of each pair in the list of all pairs.
    """

    tree: Tree
    pairs: tuple[tuple[int, int], ...]
    places: tuple[int, ...]

    @property
    def targets(self) -> tuple[int, ...]:
        """Number of target tokens of each candidate."""
        return tuple(len(path) for path in self.tree.paths)

    @property
    def tokens(self) -> int:
        """Number of tokens that a forward sees."""
        return len(self.tree)

    def digest(self) -> str:
        """Digest of the tree, its pictures and its targets."""
        tree = self.tree
        return content_digest(tree.ids, tree.ends, tree.chat.vision, *tree.paths)


class TreePacking:
    """Every trajectory is a tree; a tree that is too large is cut into one a step."""

    def __init__(self, token_budget: int, per_step: bool = False) -> None:
        """Takes the settings.

        Args:
            token_budget: Tokens of a forward. A step that exceeds it is forwarded alone.
            per_step: Whether every step has a tree of its own, however small its trajectory is.
        """
        self._budget = token_budget
        self._per_step = per_step

    def serving(
        self,
        model: nn.Module,
        processor: Any,
        trajectories: Sequence[Trajectory],
    ) -> tuple[Packing, str | None]:
        """This packing; whole sequences, and why, where they and trees differ."""
        reason = why_no_trees(model, processor, trajectories)
        return (self, None) if reason is None else (PairwisePacking(self._budget), reason)

    def units(
        self, processor: Any, trajectories: Sequence[Trajectory], pairs: Sequence[PreferencePair]
    ) -> list[TreeUnit]:
        """One unit a trajectory, or a step.

        Raises:
            EncodingError: A history is no prefix of what follows it.
        """
        owners = owners_of(trajectories)
        by_owner: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place, pair in enumerate(pairs):
            by_owner[pair.task_id, pair.round].append(place)
        units = []
        for owner, places in by_owner.items():
            whole = _unit(processor, owners[owner], pairs, places)
            if whole.tokens <= self._budget and not self._per_step:
                units.append(whole)
                continue
            by_step: dict[int, list[int]] = defaultdict(list)
            for place in places:
                by_step[pairs[place].step].append(place)
            units += [_unit(processor, owners[owner], pairs, some) for some in by_step.values()]
        return units

    def forwards(self, units: Sequence[TreeUnit]) -> list[list[int]]:
        """Groups of units within the budget, the largest first."""
        return first_fit([unit.tokens for unit in units], self._budget)

    def logps(self, model: nn.Module, processor: Any, units: Sequence[TreeUnit]) -> list[Tensor]:
        """Summed log-probabilities of each unit's candidates, by one forward."""
        allow_layouts(model)
        return tree_logps(model, [unit.tree for unit in units])


def first_fit(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Groups of indices within a budget, the largest first; what exceeds it alone is alone."""
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        at = next((g for g, left in enumerate(room) if left >= sizes[index]), len(groups))
        if at == len(groups):
            groups.append([])
            room.append(budget)
        groups[at].append(index)
        room[at] -= sizes[index]
    return groups


def _unit(
    processor: Any, trajectory: Trajectory, pairs: Sequence[PreferencePair], places: Sequence[int]
) -> TreeUnit:
    """The tree of a trajectory's paired candidates; a step's equal candidates are one."""
    steps = sorted({pairs[place].step for place in places})
    chats = {s: encode(processor, history(trajectory.opening, trajectory.steps[:s])) for s in steps}
    chat = chats[steps[-1]]
    for step in steps:
        _assert_prefix(chats[step], chat, trajectory, step)
    indices: dict[tuple[int, tuple[int, ...]], int] = {}

    def index_of(step: int, candidate: int) -> int:
        text = trajectory.steps[step].candidates[candidate].action.text
        ids = tuple(action_ids(processor, text))
        return indices.setdefault((len(chats[step].ids), ids), len(indices))

    found = tuple(
        (index_of(pairs[p].step, pairs[p].chosen), index_of(pairs[p].step, pairs[p].rejected))
        for p in places
    )
    return TreeUnit(build_tree(chat, list(indices)), found, tuple(places))


def _assert_prefix(early: Encoded, late: Encoded, trajectory: Trajectory, step: int) -> None:
    if late.ids[: len(early.ids)] != early.ids:
        raise EncodingError(
            f"task {trajectory.task.id}: the history of step {step + 1} is no prefix of what "
            'follows it, so its candidates form no tree: use packing = "pairwise"'
        )
