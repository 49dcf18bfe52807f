"""Tuning: from trajectories to an adapter."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sport.tune.base import Tuner, TuningError
    from sport.tune.config import LoraSettings, PairConfig, SFTConfig, StepDPOConfig
    from sport.tune.fit import Hooks
    from sport.tune.packing import preference_logps
    from sport.tune.pairs import build_pairs
    from sport.tune.pairwise import PairwiseDPO
    from sport.tune.sft import SFT
    from sport.tune.tree_dpo import TreeDPO

__all__ = [
    "SFT",
    "Hooks",
    "LoraSettings",
    "PairConfig",
    "PairwiseDPO",
    "SFTConfig",
    "StepDPOConfig",
    "TreeDPO",
    "Tuner",
    "TuningError",
    "build_pairs",
    "preference_logps",
]

_HOMES = {
    "base": ("Tuner", "TuningError"),
    "config": ("LoraSettings", "PairConfig", "SFTConfig", "StepDPOConfig"),
    "fit": ("Hooks",),
    "pairs": ("build_pairs",),
    "packing": ("preference_logps",),
    "pairwise": ("PairwiseDPO",),
    "sft": ("SFT",),
    "tree_dpo": ("TreeDPO",),
}


def __getattr__(name: str) -> Any:
    """Imports a name where it is used: settings can be read without loading torch."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"sport.tune.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
