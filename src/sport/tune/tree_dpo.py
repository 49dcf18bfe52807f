"""Step-wise DPO over trees: each trajectory is forwarded once, with all its candidates."""

from __future__ import annotations

from pathlib import Path

from sport.tune.config import PairConfig, StepDPOConfig
from sport.tune.fit import Hooks
from sport.tune.step_dpo import StepDPO
from sport.tune.tree_packing import TreePacking


class TreeDPO(StepDPO):
    """Step-wise DPO (paper, section 3.4), exact, without computing any history twice.

    At start a small trajectory is computed both ways; where trees and whole sequences differ,
    that is said aloud and whole sequences are used, as :class:`sport.tune.PairwiseDPO` does.
    """

    def __init__(
        self,
        config: StepDPOConfig,
        pairs: PairConfig | None = None,
        hooks: Hooks | None = None,
        cache: Path | None = None,
    ) -> None:
        """Takes the settings; see :class:`sport.tune.step_dpo.StepDPO`."""
        super().__init__(TreePacking(config.token_budget), config, pairs, hooks, cache)
