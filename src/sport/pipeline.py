"""A run's stages over its folder: each does what is still owed, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from sport.assemble import entered, golds, greedy
from sport.config import Control, TuneStage
from sport.evals.base import Equipment
from sport.evals.contamination import check_run, check_tasks
from sport.hosts import Hosts
from sport.jsonl import StoreError
from sport.measure import Measurement, measure
from sport.policy.base import SamplingPlan
from sport.progress import Activity, Progress
from sport.remote.ledger import Ledger
from sport.sources import Source, open_source
from sport.store import Run
from sport.tally import Tally
from sport.tuning import Tuning, imitation
from sport.types import Task, Trajectory
from sport.workbench import Workbench


class Pipeline:
    """The stages of :func:`sport.loop.improve`, over a run's folder.

    Attributes:
        run: The run.
        progress: Where it says what it is doing.
    """

    def __init__(self, run: Run, progress: Progress, tracker: str | None = None) -> None:
        """Tools and prompt are checked; what is heavy is loaded when a stage needs it.

        Args:
            run: The run.
            progress: Where it says what it is doing.
            tracker: Name of a tracker of Accelerate that gets the figures of tuning.
        """
        self.run = run
        self.progress = progress
        self._tracker = tracker
        self._ledger = Ledger(run.path / "usage.jsonl", run.recipe.budget)
        self._hosts = Hosts(run.recipe, run.path, progress.activity)
        self._bench = Workbench(
            run.recipe, run.path / "cache", self._ledger, lambda: self._equipment, self._hosts
        )
        self._bench.check()

    def __enter__(self) -> Self:
        """Enters a block at whose end the servers that were started end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the servers that were started."""
        self._bench.close()

    @cached_property
    def source(self) -> Source:
        """Where the tasks come from."""
        with self.progress.activity("reading tasks"):
            return open_source(self.run.recipe, self.run.blobs, self._write, self.progress.say)

    def _write(self, name: str, n: int, round: int) -> list[Task]:
        """Has tasks written by the model of ``[synthesis]``."""
        from sport.synthesis.atelier import Atelier

        self._hosts.writers()
        with self._ledger.at("synth", round):
            atelier = Atelier(self.run, self._bench, self._ledger, self.progress)
            return atelier.write(name, n, round)

    @property
    def _equipment(self) -> Equipment | None:
        """What a benchmark brings beside its tasks."""
        if self.run.recipe.benchmark is None:
            return None
        from sport.evals.bench import BenchmarkSource

        return self.source if isinstance(self.source, BenchmarkSource) else None

    def start(self) -> Path | None:
        """The adapter that the recipe starts from."""
        return self.run.adapter(0)

    def synthesise(self, round: int) -> list[Task]:
        """The tasks that a round explores."""
        if not self.run.has_tasks(round=round):
            source = self.source
            with self.progress.activity(f"round {round}: making tasks"):
                tasks = source.train(round)
                check_tasks(tasks, self.run.recipe)  # before exploring costs anything
                self.run.add_tasks(tasks, round=round)
        return self.run.tasks(round=round)

    def explore(self, tasks: Sequence[Task], adapter: Path | None, round: int) -> list[Trajectory]:
        """Step sampling and verification on the tasks."""
        file = self.run.path / "trajectories.jsonl"
        name = f"round {round}: exploring"
        self._solve("explore", name, file, tasks, adapter, round, self.run.recipe.sampling.plan)
        return list(self.run.trajectories(round))

    def explored(self, round: int) -> list[Trajectory]:
        """What exploring gave, where a round has been explored to its end.

        Raises:
            StoreError: It has not.
        """
        tasks = self.run.tasks(round=round) if self.run.has_tasks(round=round) else []
        trajectories = list(self.run.trajectories(round))
        if not tasks or len(trajectories) < len(tasks):
            raise StoreError(
                f"{self.run.path}: round {round} has not been explored to its end. "
                f"Do so with `sport explore … --round {round}`."
            )
        return trajectories

    def tune(
        self,
        trajectories: Sequence[Trajectory],
        adapter: Path | None,
        round: int,
        control: Control | None = None,
        stages: Sequence[TuneStage] | None = None,
    ) -> Path | None:
        """Tuning, stage by stage, from ``adapter``; by the recipe's stages if none are given.

        Where `accelerate launch` started several processes, they tune together, and the main one
        writes.
        """
        from sport.tune.workers import Workers

        recipe, workers = self.run.recipe, Workers()
        check_tasks((t.task for t in trajectories), recipe)
        if stages is None:
            stages = [imitation(recipe.tune)] if control == "sft" else recipe.tune
        dev = workers.from_main(self._dev_tasks() if workers.is_main else None)
        tuning = Tuning(
            run=self.run,
            bench=self._bench,
            progress=self.progress,
            round=round,
            stages=stages,
            control=control,
            dev_score=partial(self._dev_score, dev) if dev else None,
            tracker=self._tracker,
        )
        if recipe.keep.kind != "all":
            kept = self._kept(trajectories, round) if workers.is_main else None
            trajectories = workers.from_main(kept)
        self._bench.make_room()
        with self._ledger.at("tune", round):
            return tuning.start(trajectories, adapter)

    def _kept(self, trajectories: Sequence[Trajectory], round: int) -> Sequence[Trajectory]:
        """The trajectories that are tuned on; which those are is decided once."""
        from sport.keeping import keep

        return keep(self.run, self._bench, self._ledger, self.progress, trajectories, round)

    def evaluate(self, adapter: Path | None, round: int, control: Control | None = None) -> None:
        """Measures a policy on the splits of the source; a control on the one that counts."""
        splits = self.source.splits if control is None else self.source.splits[-1:]
        for split in splits:
            self.evaluate_on(split, adapter, round, control)
        if control is None:
            self._write_report()

    def probe(self, adapter: Path | None, round: int) -> None:
        """Measures a policy on what shows how it comes to its results."""
        for split in self.source.probes:
            if self._split(split):
                self.evaluate_on(split, adapter, round, None)
            else:
                self.progress.say(f"{split}: no task is of a kind that it is for")

    def evaluate_on(
        self, split: str, adapter: Path | None, round: int, control: Control | None
    ) -> None:
        """Measures a policy on one split, greedily and with one sample a step (D6)."""
        name = f"round {round}{f' ({control})' if control else ''}: evaluating on {split}"
        self._measure(name, Measurement(split, round, control), adapter)

    def best_of_n(self, adapter: Path | None, round: int) -> None:
        """Measures, on the split that counts, a policy whose samples the verifier chooses among."""
        recipe, split = self.run.recipe, self.source.splits[-1]
        what = Measurement(split, round, None, recipe.sampling.n, recipe.verifier.kind)
        self._measure(f"round {round}: best of {what.samples} on {split}", what, adapter)

    def measure_agent(self) -> None:
        """Measures the recipe's agent on its benchmark.

        By a single sample a step, or as best-of-n where the recipe asks for that: the two are rows
        of different runs (D6).
        """
        settings = self.run.recipe.benchmark
        assert settings is not None
        adapter = self.run.adapter(0)
        self._split(self.source.splits[-1])
        for note in check_run(self.run):
            self.progress.say(note)
        [split] = self.source.splits
        what = Measurement(split, 0)
        if settings.best_of > 1:
            kind = self.run.recipe.verifier.kind
            what = Measurement(split, 0, None, settings.best_of, kind)
        self._measure(f"{settings.name}: evaluating {self.run.recipe.agent}", what, adapter)
        if settings.reformat:
            self._reformat(what, adapter)

    def _reformat(self, what: Measurement, adapter: Path | None) -> None:
        """Puts the answers of an evaluation into the benchmark's form, and measures them."""
        from sport.evals.reformat import TOGETHER, put_into_form

        before, what = what.file(self.run), replace(what, reformatted=True)
        if any(what.is_of(row) for row in self.run.metrics()):
            return
        tasks = self._split(what.split)
        owed = {t.id for t in self.run.owed(what.file(self.run), tasks, what.round, TOGETHER)}
        rest = [t for t in self.run.trajectories_in(before) if t.task.id in owed]
        policy, plan = self._bench.controller(adapter), greedy(self.run.recipe)

        async def work(activity: Activity) -> None:
            async with entered(policy):
                for start in range(0, len(rest), TOGETHER):
                    self._ledger.check()
                    part = rest[start : start + TOGETHER]
                    self._commit(what.file(self.run), await put_into_form(part, policy, plan))
                    activity.advance(len(part))

        with (
            self.progress.activity("putting answers into form", len(tasks)) as activity,
            self._ledger.at("evaluate", what.round),
        ):
            activity.advance(len(tasks) - len(rest))
            asyncio.run(work(activity))
        self.run.add_metrics(measure(self.run, self.source, what, activity.seconds))

    def _measure(self, name: str, what: Measurement, adapter: Path | None) -> None:
        if any(what.is_of(row) for row in self.run.metrics()):
            return
        tasks = self._split(what.split)
        recipe = self.run.recipe
        plan = recipe.sampling.plan if what.samples > 1 else greedy(recipe)
        seconds = self._solve(
            "evaluate", name, what.file(self.run), tasks, adapter, what.round, plan
        )
        row = measure(self.run, self.source, what, seconds)
        self.run.add_metrics(row)
        self.progress.figure(f"{name}: {in_words(row)}")

    def table(self) -> None:
        """Prints the figures of a benchmark, and writes the paper's table with them."""
        from sport.evals.compare import evaluations
        from sport.evals.table import terminal_table
        from sport.evals.write import write_tables

        self.progress.console.print(terminal_table(self.run.metrics()))
        for file in write_tables(evaluations([self.run.path]), self.run.path):
            self.progress.say(f"table: {file}")

    def report(self) -> None:
        """Writes the report, prints the table, and says where to look further."""
        from sport.evals.table import terminal_table

        check_run(self.run)
        file = self._write_report()
        self.progress.console.print(terminal_table(self.run.metrics()))
        self.progress.say(f"report: {file}")
        self.progress.say(f"trajectories: {self.run.path / 'trajectories.jsonl'}")
        self.progress.say(f"look at it: sport view {self.run.path}")
        self.progress.say(f"ask the agent: sport ask {self.run.path} QUESTION --file IMAGE")

    def _dev_tasks(self) -> list[Task] | None:
        """The tasks by which the best epoch is kept; ``None`` where the last one is."""
        if not self.run.recipe.evaluation.early_stop or self.source.dev is None:
            return None
        return self._split(self.source.dev)

    def _write_report(self) -> Path:
        from sport.view.report import write_report

        with self.progress.activity("writing the report"):
            return write_report(self.run)

    def _split(self, split: str) -> list[Task]:
        """The tasks of a split, made when they are first needed."""
        if not self.run.has_tasks(split):
            with self.progress.activity(f"making tasks of {split}"):
                self.run.add_tasks(self.source.evaluation(split), split)
        return self.run.tasks(split)

    def _solve(
        self,
        stage: str,
        name: str,
        file: Path,
        tasks: Sequence[Task],
        adapter: Path | None,
        round: int,
        plan: SamplingPlan,
    ) -> float:
        """Solves the tasks that a file of trajectories still lacks; returns the seconds taken.

        Several candidates a step, and those of exploring, are judged by the recipe's verifier.
        """
        recipe = self.run.recipe
        judged = stage == "explore" or plan.n > 1
        settings = recipe.explore if judged else recipe.evaluation
        group = None if recipe.policy.kind == "chat" else settings.group
        owed = self.run.owed(file, tasks, round, group)
        seconds = 0.0
        known = {task.id: task for task in owed}
        if owed:
            with self._ledger.at(stage, round):
                self._ledger.check()
            policy = self._bench.controller(adapter)
            verifier = None
            if judged and recipe.verifier.kind != "none":
                verifier = self._bench.verifier(golds(tasks))
            with (
                self.progress.activity(name, len(tasks), len(tasks) - len(owed)) as activity,
                self._ledger.at(stage, round),
            ):
                solving = self._bench.solve(
                    owed,
                    policy,
                    verifier,
                    plan=plan,
                    round=round,
                    group=group,
                    commit=partial(self._commit_scored, file, activity.tally, known),
                    done=activity.advance,
                    say=activity.say,
                    check=self._ledger.check,
                    seen=activity.tally.step,
                )
                activity.tally.spent = self._ledger.in_words
                asyncio.run(solving)
                activity.say("")
            seconds = activity.seconds
            if missing := self._bench.unanswered():
                self.progress.say(
                    f"replay: {missing} calls had no answer; by tool: "
                    f"sport tools calls {self.run.path}"
                )
        if group is None:
            self.run.put_in_order(file, tasks, round)
        return seconds

    def _commit_scored(
        self,
        file: Path,
        tally: Tally,
        known: Mapping[str, Task],
        trajectories: list[Trajectory],
    ) -> None:
        self._commit(file, trajectories)
        for trajectory in trajectories:
            tally.answer(self.source.score(known[trajectory.task.id], trajectory).answer)

    def _commit(self, file: Path, trajectories: list[Trajectory]) -> None:
        self.run.append(file, trajectories)
        self._bench.settle_tools()
        self._ledger.flush()

    def _dev_score(self, tasks: Sequence[Task], adapter: Path) -> float:
        """AnsAcc on the development tasks."""
        found: list[Trajectory] = []
        solving = self._bench.solve(
            tasks,
            self._bench.fresh_policy(adapter),
            None,
            plan=greedy(self.run.recipe),
            round=0,
            group=self.run.recipe.evaluation.group,
            commit=found.extend,
        )
        asyncio.run(solving)
        answers = [self.source.score(t, f).answer for t, f in zip(tasks, found, strict=True)]
        return sum(bool(a) for a in answers) / len(answers)


def solve_one(run: Run, task: Task, adapter: Path | None) -> Trajectory:
    """Solves one task as evaluations do: greedily, with one sample a step, and for good."""
    explore = run.recipe.explore.model_copy(update={"side_effects": "winner"})
    bench = Workbench(run.recipe.model_copy(update={"explore": explore}))
    found: list[Trajectory] = []
    solving = bench.solve(
        [task],
        bench.controller(adapter),
        None,
        plan=greedy(run.recipe),
        round=0,
        group=1,
        commit=found.extend,
    )
    asyncio.run(solving)
    return found[0]


def in_words(row: dict[str, object]) -> str:
    """A row's figures in one line."""
    names = {"ans_acc": "AnsAcc", "tool_acc": "ToolAcc", "code_exec": "CodeExec"}
    shown = [f"{name} {row[k]:.1%}" for k, name in names.items() if isinstance(row[k], float)]
    return ", ".join([*shown, f"{row['n']} tasks"])
