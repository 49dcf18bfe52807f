"""Step-wise DPO: what is the same however the sequences are packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import PeftModel
from torch import Tensor, nn

from sport.policy.forward import base_model
from sport.policy.local import LocalPolicy
from sport.tune.adapter import trainable
from sport.tune.base import TuningError
from sport.tune.checkpoint import identity_of
from sport.tune.config import PairConfig, StepDPOConfig
from sport.tune.fit import Figures, Hooks, Lesson, fit
from sport.tune.losses import dpo_loss
from sport.tune.pairs import build_pairs
from sport.tune.recompute import recomputing
from sport.tune.reference import ReferenceCache, as_reference, model_digest
from sport.tune.sharding import sharded
from sport.tune.workers import Workers
from sport.types import PreferencePair, Trajectory


class Unit(Protocol):
    """What is forwarded as a whole: some candidates, and the pairs among them.

    Attributes:
        pairs: (chosen, rejected) as indices into the unit's candidates.
        places: The place of each pair in the list of all pairs.
        targets: Number of target tokens of each candidate.
        tokens: Number of tokens that a forward sees.
    """

    pairs: tuple[tuple[int, int], ...]
    places: tuple[int, ...]

    @property
    def targets(self) -> tuple[int, ...]:
        """Number of target tokens of each candidate."""
        ...

    @property
    def tokens(self) -> int:
        """Number of tokens that a forward sees."""
        ...

    def digest(self) -> str:
        """Digest of all that the candidates' log-probabilities depend on, but for the model."""
        ...


class Packing(Protocol):
    """A way to compute the candidates' log-probabilities."""

    def serving(
        self,
        model: nn.Module,
        processor: Any,
        trajectories: Sequence[Trajectory],
    ) -> tuple[Packing, str | None]:
        """This packing; or, where the model cannot be computed so, another one and why."""
        ...

    def units(
        self, processor: Any, trajectories: Sequence[Trajectory], pairs: Sequence[PreferencePair]
    ) -> list[Any]:
        """Groups the pairs' candidates into units."""
        ...

    def forwards(self, units: Sequence[Any]) -> list[list[int]]:
        """Which units share a forward: groups of indices."""
        ...

    def logps(self, model: nn.Module, processor: Any, units: Sequence[Any]) -> list[Tensor]:
        """Summed log-probabilities of each unit's candidates, by one forward."""
        ...


@dataclass(frozen=True)
class _Known:
    """A unit with its candidates' log-probabilities under the reference, and the key of both."""

    unit: Any
    key: str
    reference: Tensor


@dataclass(frozen=True)
class _Work:
    """What a tuning computes with."""

    packing: Packing
    model: PeftModel
    processor: Any
    workers: Workers

    def logps(self, units: Sequence[Any]) -> list[Tensor]:
        """Summed log-probabilities of each unit's candidates, by one forward."""
        return self.packing.logps(self.model, self.processor, units)


class StepDPO:
    """Tunes on the preferences among the candidates of each step (paper, section 3.4)."""

    def __init__(
        self,
        packing: Packing,
        config: StepDPOConfig,
        pairs: PairConfig | None = None,
        hooks: Hooks | None = None,
        cache: Path | None = None,
    ) -> None:
        """Takes the settings.

        Args:
            packing: How log-probabilities are computed.
            config: Of the loss and the optimizer.
            pairs: Which pairs are built.
            hooks: Who wants to know how it goes.
            cache: File in which the reference's log-probabilities are kept.
        """
        self.config = config
        self._cache = cache
        self._packing = packing
        self._pairs = pairs or PairConfig()
        self._hooks = hooks or Hooks()

    def tune(self, trajectories: Sequence[Trajectory], policy: LocalPolicy, out: Path) -> Path:
        """Tunes the policy on its trajectories' pairs; see :class:`sport.tune.base.Tuner`.

        Raises:
            TuningError: There are no pairs, the loss is not a number, or the chosen actions'
                probability collapses.
        """
        pairs, reasons = build_pairs(trajectories, self._pairs)
        if not pairs:
            fates = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            raise TuningError(
                f"there are no preference pairs to learn from ({fates or 'no candidates'}): "
                "explore more tasks, or loosen [pairs]"
            )
        fresh = not isinstance(policy.model, PeftModel)
        workers = Workers()
        with (
            trainable(policy, self.config.lora, self.config.seed) as model,
            sharded(model, workers),
            recomputing(model, self.config.gradient_checkpointing),
        ):
            packing, reason = self._packing.serving(model, policy.processor, trajectories)
            if reason is not None:
                self._hooks.say(f"trees do not serve this model, so whole sequences do: {reason}")
            work = _Work(packing, model, policy.processor, workers)
            units = packing.units(policy.processor, trajectories, pairs)
            known = self._reference(work, units, fresh)
            lesson = Lesson(
                stage="dpo",
                items=known,
                sizes=[len(k.unit.pairs) for k in known],
                batch_size=self.config.batch_pairs,
                learn=lambda batch: self._learn(work, batch),
                content=identity_of([[k.key, k.unit.pairs] for k in known]),
            )
            return fit(model, lesson, self.config, self._hooks, out, work.workers)

    def _reference(self, work: _Work, units: list[Any], fresh: bool) -> list[_Known]:
        """Log-probabilities under the reference, before any step.

        Args:
            work: What computes them.
            units: The candidates.
            fresh: Whether the adapter is new, and so does nothing yet.
        """
        name = self.config.reference
        cache = ReferenceCache(self._cache if work.workers.is_main else None)
        weights = model_digest(work.model, adapter=name == "start" and not fresh)
        keys = [identity_of(weights, self.config.bf16, unit.digest()) for unit in units]
        dtype = torch.float64 if base_model(work.model).dtype == torch.float64 else torch.float32
        found = work.workers.from_main({i: cache.get(k, dtype) for i, k in enumerate(keys)})
        owed = [i for i, logps in found.items() if logps is None]
        with as_reference(work.model, name), _autocast(work.model, self.config.bf16):
            mine = self._compute(work, units, owed)
        computed = work.workers.merge(mine)
        if work.workers.is_main:
            cache.add((keys[i], logps) for i, logps in computed.items())
        device, places = base_model(work.model).device, range(len(units))
        logps = {**found, **computed}
        return [_Known(units[i], keys[i], logps[i].to(device)) for i in places]

    def _compute(self, work: _Work, units: list[Any], owed: list[int]) -> dict[int, Tensor]:
        """This process's share of the log-probabilities that are owed, by the place of the unit."""
        groups = work.packing.forwards([units[i] for i in owed])
        sizes = [sum(units[owed[i]].tokens for i in group) for group in groups]
        mine: dict[int, Tensor] = {}
        for group, weight in work.workers.in_step(work.workers.share(groups, sizes), [0]):
            logps = work.logps([units[owed[i]] for i in group])
            if not weight:
                continue
            mine |= {owed[i]: found.cpu() for i, found in zip(group, logps, strict=True)}
            done = {"done": len(mine), "of": len(owed)}
            self._hooks.progress({"stage": "dpo", "phase": "reference", **done})
        return mine

    def _learn(self, work: _Work, batch: list[_Known]) -> Figures:
        pairs = sum(len(k.unit.pairs) for k in batch)
        share = work.workers.share(batch, [k.unit.tokens for k in batch])
        totals = torch.zeros(5, dtype=torch.float64)
        groups = work.packing.forwards([k.unit for k in share])
        forwards = [[share[i] for i in group] for group in groups]
        for some, weight in work.workers.in_step(forwards, batch[:1]):
            with _autocast(work.model, self.config.bf16):
                loss, figures = self._loss(some, work.logps([k.unit for k in some]))
            (weight * loss / pairs).backward()
            totals += weight * figures.double().cpu()
        loss_, margin, right, chosen, rejected = (work.workers.sum(totals) / pairs).tolist()
        self._assert_no_collapse(chosen)
        return {
            "loss": loss_,
            "margin": margin,
            "accuracy": right,
            "chosen_drift": chosen,
            "rejected_drift": rejected,
            "pairs": pairs,
            "tokens": sum(k.unit.tokens for k in batch),
        }

    def _assert_no_collapse(self, drift: float) -> None:
        limit = self.config.max_drop
        if limit is not None and drift < -limit:
            raise TuningError(
                f"the chosen actions' log-probability fell by {-drift:.1f} nats (max_drop is "
                f"{limit}): the policy collapses. Lower learning_rate or epochs, or raise beta"
            )

    def _loss(self, batch: list[_Known], logps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The sum of the pairs' losses, and sums of loss, margin, accuracy and both drifts."""
        config = self.config
        chosen, rejected = _by_pair([k.unit for k in batch], logps)
        old_chosen, old_rejected = _by_pair([k.unit for k in batch], [k.reference for k in batch])
        lengths = [torch.tensor(k.unit.targets).to(logps[0]) for k in batch]
        chosen_length, rejected_length = _by_pair([k.unit for k in batch], lengths)
        scale = (chosen_length, rejected_length) if config.length_normalise else (1.0, 1.0)
        losses, margins = dpo_loss(
            chosen / scale[0],
            rejected / scale[1],
            old_chosen / scale[0],
            old_rejected / scale[1],
            config.beta,
            config.label_smoothing,
        )
        if config.nll_weight:
            losses = losses - config.nll_weight * chosen / chosen_length
        figures = torch.stack(
            [
                losses.sum(),
                margins.sum(),
                (margins > 0).sum(),
                (chosen - old_chosen).sum(),
                (rejected - old_rejected).sum(),
            ]
        ).detach()
        return losses.sum(), figures


def _by_pair(units: Sequence[Any], values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A value a candidate, as (chosen, rejected) of all pairs, ``(pairs,)`` each."""
    chosen = [v[c] for unit, v in zip(units, values, strict=True) for c, _ in unit.pairs]
    rejected = [v[r] for unit, v in zip(units, values, strict=True) for _, r in unit.pairs]
    return torch.stack(chosen), torch.stack(rejected)


def pair_logps(
    packing: Packing,
    model: nn.Module,
    processor: Any,
    trajectories: Sequence[Trajectory],
    pairs: Sequence[PreferencePair],
) -> Tensor:
    """Summed log-probabilities of chosen and rejected, ``(pairs, 2)``, in the order of pairs."""
    units = packing.units(processor, trajectories, pairs)
    found: dict[int, Tensor] = {}
    for group in packing.forwards(units):
        logps = packing.logps(model, processor, [units[i] for i in group])
        for index, values in zip(group, logps, strict=True):
            unit = units[index]
            for place, (chosen, rejected) in zip(unit.places, unit.pairs, strict=True):
                found[place] = torch.stack([values[chosen], values[rejected]])
    return torch.stack([found[i] for i in range(len(pairs))]) if pairs else torch.zeros(0, 2)


@contextmanager
def _autocast(model: nn.Module, bf16: bool) -> Iterator[None]:
    device = base_model(model).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        yield
