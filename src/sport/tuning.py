"""The tuning of a round: a recipe's stages in order, each from where the one before ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sport import launch
from sport.config import Control, DPOStage, TuneStage
from sport.progress import Activity, Progress
from sport.store import Run
from sport.tune.config import PairConfig
from sport.types import Trajectory, derive_seed
from sport.workbench import Workbench

if TYPE_CHECKING:
    from sport.tune.base import Tuner
    from sport.tune.fit import Hooks

DevScore = Callable[[Path], float | None]
"""AnsAcc, on the development tasks, of the policy with an adapter."""


@dataclass(frozen=True)
class Tuning:
    """One tuning of a run.

    Attributes:
        run: The run.
        bench: Gives the policies.
        progress: Where it says how it goes.
        round: The round.
        stages: What is done, in order.
        control: The control that it is for, if any.
        dev_score: By what the best epoch is kept; ``None`` keeps the last.
        tracker: Name of a tracker of Accelerate that gets every step's figures.
    """

    run: Run
    bench: Workbench
    progress: Progress
    round: int
    stages: Sequence[TuneStage]
    control: Control | None = None
    dev_score: DevScore | None = None
    tracker: str | None = None

    @property
    def name(self) -> str:
        """What is being done, for people."""
        return f"round {self.round}{f' ({self.control})' if self.control else ''}: tuning"

    @property
    def curve(self) -> Path:
        """File of the tuning curves."""
        suffix = f"-{self.control}" if self.control else ""
        return self.run.round_folder(self.round) / f"tuning{suffix}.jsonl"

    def start(self, trajectories: Sequence[Trajectory], adapter: Path | None) -> Path | None:
        """Tunes from ``adapter``, and returns the new adapter; does nothing that was done.

        Where the trajectories give no preference pairs, preference tuning has nothing to learn
        from: it is left out, which is said aloud, and the policy stays as it is.
        """
        out = self.run.adapter_folder(self.round, self.control)
        if out.is_dir():
            return out
        stages = self._stages(trajectories, adapter)
        for index, stage in enumerate(stages):
            last = index == len(stages) - 1
            folder = out if last else out.with_name(f"{out.name}.stage{index + 1}")
            if not folder.is_dir():
                self._one(index, stage, trajectories, adapter, folder)
            adapter = folder
        return adapter

    def _stages(self, trajectories: Sequence[Trajectory], adapter: Path | None) -> list[TuneStage]:
        from sport.tune.pair_report import in_words, pair_report
        from sport.tune.pairs import build_pairs

        pairs, reasons = build_pairs(trajectories, self.run.recipe.pairs)
        processor = self.bench.policy(adapter).processor
        report = pair_report(processor, trajectories, pairs, reasons)
        if self.control is None and launch.is_main():
            self.run.write_pairs(self.round, pairs, report)
        self.progress.say(f"{self.name}: {in_words(report)}")
        if pairs:
            return list(self.stages)
        self.progress.say(f"{self.name}: without pairs there is no preference to learn")
        return [stage for stage in self.stages if stage.kind != "dpo"]

    def _one(
        self,
        index: int,
        stage: TuneStage,
        trajectories: Sequence[Trajectory],
        adapter: Path | None,
        out: Path,
    ) -> None:
        seed = derive_seed(self.run.recipe.seed, stage.seed, self.round, index) % 2**31
        with (
            self.progress.activity(f"{self.name} by {stage.kind}") as activity,
            self._tracking(stage) as track,
        ):
            tuner = make_tuner(
                stage.model_copy(update={"seed": seed}),
                self.run.recipe.pairs,
                self._hooks(index, stage, activity, track),
                self.run.path / "cache" / "references.jsonl",
            )
            tuner.tune(trajectories, self.bench.policy(adapter), out)

    @contextmanager
    def _tracking(self, stage: TuneStage) -> Iterator[Callable[[dict[str, Any]], None]]:
        if self.tracker is None:
            yield lambda row: None
            return
        from sport.tune.tracking import tracking

        folder = self.run.round_folder(self.round)
        config = {k: str(v) for k, v in stage.model_dump(mode="json").items()}
        with tracking(self.tracker, folder, config) as log:
            yield log

    def _hooks(
        self,
        index: int,
        stage: TuneStage,
        activity: Activity,
        track: Callable[[dict[str, Any]], None],
    ) -> Hooks:
        from sport.tune.fit import Hooks

        def on_step(row: dict[str, Any]) -> None:
            track(row)
            if "phase" in row:
                activity.say(f"{row['phase']} {row['done']}/{row['of']}")
            else:
                activity.say(f"step {row['step']}/{row['of']}, loss {row['loss']:.3f}")

        def on_epoch(epoch: int, folder: Path) -> float | None:
            assert self.dev_score is not None
            activity.say(f"epoch {epoch} is evaluated")
            return self.dev_score(folder)

        # A single epoch leaves nothing to choose from.
        watched = self.dev_score is not None and stage.epochs > 1
        return Hooks(
            curve=self.curve,
            label={"index": index},
            on_step=on_step,
            on_epoch=on_epoch if watched else None,
            say=lambda text: self.progress.say(f"{self.name}: {text}"),
        )


def make_tuner(
    stage: TuneStage, pairs: PairConfig, hooks: Hooks, cache: Path | None = None
) -> Tuner:
    """The tuner of a stage.

    Args:
        stage: Its settings.
        pairs: Which pairs are built.
        hooks: Who wants to know how it goes.
        cache: File in which the reference's log-probabilities are kept.
    """
    from sport.tune.packing import make_packing
    from sport.tune.sft import SFT
    from sport.tune.step_dpo import StepDPO

    if isinstance(stage, DPOStage):
        packing = make_packing(stage.packing, stage.token_budget)
        return StepDPO(packing, stage, pairs, hooks, cache)
    return SFT(stage, hooks)


def imitation(stages: Sequence[TuneStage]) -> TuneStage:
    """The recipe's supervised stage, or one with its last stage's schedule: the control `sft`."""
    from sport.config import SFTStage
    from sport.tune.config import OptimizerSettings

    for stage in stages:
        if isinstance(stage, SFTStage):
            return stage
    shared = stages[-1].model_dump(include=set(OptimizerSettings.model_fields))
    return SFTStage.model_validate(shared)
