"""The run folder: everything that a run has done, so that it can be read and resumed.

::

    config.toml            the recipe, every default written out
    tasks.jsonl            the tasks that are explored, with gold where there is any
    trajectories.jsonl     what exploring gave, all rounds, one whole trajectory a line
    evaluation/<split>.jsonl            the tasks of a split
    rounds/<k>/tasks.jsonl              which tasks round k explores, in order
    rounds/<k>/kept.jsonl               which trajectories are tuned on, and why the others not
    rounds/<k>/pairs.jsonl              the preference pairs of round k
    rounds/<k>/pairs-report.json        their fates, lengths and overlap
    rounds/<k>/tuning.jsonl             curves of its tuning
    rounds/<k>/eval-<split>[-<control>].jsonl    its evaluation's trajectories
    rounds/<k>/eval-….scores.jsonl      how each of them was scored, and why wrong ones are wrong
    synthesis/<name>-….json[l]          what a language model was asked for tasks, and their figures
    adapters/r<k>[-<control>]           what tuning gave
    blobs/  cache/                      files by content; calls of tools, with their answers
    metrics.jsonl          one evaluation a line
    usage.jsonl            what servers were asked and what it cost, by stage, round and model
    report.html  run.log   what can be looked at; all that was said
    server-<section>.log   what a server said that the run started
    state.json             what the run's process is doing, for those who watch

There is one writer at a time, and any number of readers. Lines are on the disk before the next
stage starts; trajectories are appended in whole groups, in the order of their tasks. Those of a
server are appended one by one, as they end, and put in order when the last has.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sport.blobs import BlobStore
from sport.config import Recipe
from sport.jsonl import (
    StoreError,
    append_lines,
    keep_lines,
    mend,
    read_lines,
    sort_lines,
    storing,
    write_whole,
)
from sport.recipes import RUN_RECIPE, differences, parse_recipe
from sport.remote.ledger import Account, Usage, read_usage
from sport.types import PreferencePair, Record, Task, Trajectory

R = TypeVar("R", Task, PreferencePair)

RESUMABLE = re.compile(
    r"rounds|budget(\..*)?|(policy|verifier)\.(serve(\..*)?|server\.(?!model$|load_adapters$).*)"
    r"|synthesis\.(server|checker|embeddings)\.(?!model$).*"
)
"""What may differ where a run goes on: a finished run goes on with more rounds, a stopped one with
a larger budget or another way to its server."""


class Run:
    """One run's folder.

    Attributes:
        path: The folder.
        recipe: What the run does.
        blobs: Its files, by content.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        """Use :meth:`open` or :meth:`create`."""
        self.path = path
        self.recipe = recipe
        self.blobs = BlobStore(path / "blobs")
        self._lock: int | None = None

    # Opening and closing.

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Opens a run for reading, whether or not another process is writing it.

        Raises:
            StoreError: The folder is no run.
        """
        folder = Path(path).absolute()
        return cls(folder, _read_recipe(folder))

    @classmethod
    def create(cls, path: Path | str, recipe: Recipe) -> Self:
        """Opens a run for writing: a new one, or one to go on with.

        Raises:
            StoreError: The folder belongs to another recipe, to a running process or to
                something else, or it cannot be written.
        """
        folder = Path(path).absolute()
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, recipe)
        run._take()
        try:
            run._claim()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def join(cls, path: Path | str, recipe: Recipe) -> Self:
        """Opens a run for reading in a process beside its writer, which may not have begun yet."""
        return cls(Path(path).absolute(), recipe)

    def _claim(self) -> None:
        config = self.path / RUN_RECIPE
        if config.is_file():
            before = _read_recipe(self.path)
            other = [k for k in differences(before, self.recipe) if not RESUMABLE.fullmatch(k)]
            if other:
                raise StoreError(
                    f"{self.path} holds a run of another recipe (it differs in "
                    f"{', '.join(other[:6])}). Give this one another folder with --out, or delete "
                    "that folder to start anew."
                )
        elif any(p.name not in ("run.lock", "run.log") for p in self.path.iterdir()):
            raise StoreError(
                f"{self.path} is neither empty nor a run. Choose another folder with --out."
            )
        write_whole(config, self.recipe.to_toml())
        for name in ("tasks.jsonl", "metrics.jsonl", "usage.jsonl"):
            mend(self.path / name)

    def _take(self) -> None:
        lock = self.path / "run.lock"
        with storing(lock):
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            raise StoreError(
                f"{self.path} is being written by another process"
                f"{f' (pid {holder})' if holder else ''}. Wait for it or stop it; reading with "
                "`sport report` works meanwhile."
            ) from None
        with storing(lock):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        self._lock = handle

    def close(self) -> None:
        """Lets another process write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """Enters a block at whose end the run is closed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the run."""
        self.close()

    # Reading.

    def tasks(self, split: str = "train", round: int | None = None) -> list[Task]:
        """Tasks with gold.

        Args:
            split: ``train`` for the tasks that are explored; ``dev``, ``test`` or ``held-out``.
            round: Only those that this round explores, in its order.
        """
        tasks = self._records(self._task_file(split), Task)
        if round is None:
            return tasks
        by_id = {t.id: t for t in tasks}
        return [by_id[i] for i in self._task_ids(round)]

    def has_tasks(self, split: str = "train", round: int | None = None) -> bool:
        """Whether :meth:`add_tasks` has been done."""
        file = self._task_file(split) if round is None else self._round_tasks(round)
        return file.is_file()

    def trajectories(self, round: int | None = None) -> Iterator[Trajectory]:
        """What exploring gave, in order; all rounds, or one."""
        for trajectory in self.trajectories_in(self.path / "trajectories.jsonl"):
            if round in (None, trajectory.round):
                yield trajectory

    def evaluation(
        self, round: int, split: str = "test", control: str | None = None
    ) -> Iterator[Trajectory]:
        """The trajectories of an evaluation, in the order of the split's tasks."""
        return self.trajectories_in(self.evaluation_file(round, split, control))

    def trajectories_in(self, file: Path) -> Iterator[Trajectory]:
        """The trajectories of one of the run's files, in order."""
        context = {"blobs": self.blobs.folder}
        for line in read_lines(file):
            yield Trajectory.model_validate_json(line, context=context)

    def pairs(self, round: int | None = None) -> list[PreferencePair]:
        """The preference pairs of a round, or of all."""
        rounds = self.rounds() if round is None else [round]
        files = [self.round_folder(k) / "pairs.jsonl" for k in rounds]
        return [pair for file in files for pair in self._records(file, PreferencePair)]

    def pair_report(self, round: int) -> dict[str, Any] | None:
        """Figures on the preference pairs of a round; ``None`` before it is tuned."""
        file = self.round_folder(round) / "pairs-report.json"
        report: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
        return report

    def metrics(self) -> list[dict[str, Any]]:
        """The evaluations, one row each."""
        return [json.loads(line) for line in read_lines(self.path / "metrics.jsonl")]

    def usage(self) -> dict[Account, Usage]:
        """What servers were asked and what it cost, by stage, round, role and model."""
        return read_usage(self.path / "usage.jsonl")

    def rounds(self) -> list[int]:
        """The rounds that have a folder, in order; 0 is the starting policy."""
        return sorted(int(p.name) for p in self.path.glob("rounds/*") if p.name.isdigit())

    def adapter(self, round: int | None = None, control: str | None = None) -> Path | None:
        """The adapter that a round ended with; ``None`` for round 0 of a recipe without one.

        Args:
            round: The round; the last tuned one if it is ``None``. A round that gave no pairs
                ends with the adapter that it started from.
            control: The control, where its adapter is meant.

        Raises:
            StoreError: That round has not been tuned.
        """
        if round is None:
            tuned = [k for k in self.rounds() if self.adapter_folder(k).is_dir()]
            round = max(tuned, default=0)
        if round == 0:
            start = self.recipe.policy.adapter
            return None if start is None else self.recipe.path(start)
        folder = self.adapter_folder(round, control)
        if control is None and not folder.is_dir() and self._gave_no_pairs(round):
            return self.adapter(round - 1)
        if not folder.is_dir():
            what = f"round {round}" + (f" (control {control})" if control else "")
            raise StoreError(f"{self.path} has no adapter of {what}: it has not been tuned.")
        return folder

    def _gave_no_pairs(self, round: int) -> bool:
        """Whether a round had nothing to learn from, so that its policy stayed as it was."""
        return (self.round_folder(round) / "pairs.jsonl").is_file() and not self.pairs(round)

    def load_policy_model(self, round: int | None = None) -> tuple[Any, Any]:
        """The model of a round's policy, its adapter applied, and its processor.

        Args:
            round: The round; the last tuned one if it is ``None``, 0 for the starting policy.
        """
        from sport.assemble import load_policy

        policy = load_policy(self.recipe, self.adapter(round))
        return policy.model, policy.processor

    # Where things lie.

    def round_folder(self, round: int) -> Path:
        """Folder of a round."""
        return self.path / "rounds" / str(round)

    def adapter_folder(self, round: int, control: str | None = None) -> Path:
        """Folder of a round's adapter."""
        return self.path / "adapters" / f"r{round}{_suffix(control)}"

    def evaluation_file(self, round: int, split: str, control: str | None = None) -> Path:
        """File of an evaluation's trajectories."""
        return self.round_folder(round) / f"eval-{split}{_suffix(control)}.jsonl"

    def kept_file(self, round: int) -> Path:
        """File that says which trajectories of a round are tuned on."""
        return self.round_folder(round) / "kept.jsonl"

    # Writing.

    def add_tasks(
        self, tasks: Sequence[Task], split: str = "train", round: int | None = None
    ) -> None:
        """Stores tasks of a split; with ``round``, as those that the round explores, in order."""
        if round is None:
            write_whole(self._task_file(split), _jsonl(t.model_dump_json() for t in tasks))
            return
        known = {t.id for t in self.tasks()}
        append_lines(
            self._task_file("train"), [t.model_dump_json() for t in tasks if t.id not in known]
        )
        write_whole(self._round_tasks(round), _jsonl(json.dumps({"id": t.id}) for t in tasks))

    def owed(
        self, file: Path, tasks: Sequence[Task], round: int, group: int | None
    ) -> Sequence[Task]:
        """The tasks whose trajectories a file still lacks.

        Args:
            file: File of trajectories.
            tasks: All that it is to hold of the round, in order.
            round: The round.
            group: How many are appended together: a group that was being written when the run was
                killed is cut off, to be redone whole. ``None``: one by one, in any order.

        Raises:
            StoreError: The file holds something else than these tasks.
        """
        heads = [json.loads(line) for line in read_lines(file)]
        ids = [h["task"]["id"] for h in heads if h["round"] == round]
        known = [t.id for t in tasks]
        fit = set(ids) <= set(known) if group is None else ids == known[: len(ids)]
        if not fit or len(set(ids)) < len(ids):
            raise StoreError(
                f"{file}: the trajectories of round {round} are not those of the round's tasks. "
                "The file was changed; put the old one back, or start the run anew."
            )
        if group is None:
            mend(file)
            return [t for t in tasks if t.id not in set(ids)]
        done = len(ids) if len(ids) == len(tasks) else len(ids) // group * group
        keep_lines(file, len(heads) - len(ids) + done)
        return tasks[done:]

    def put_in_order(self, file: Path, tasks: Sequence[Task], round: int) -> None:
        """Puts the trajectories of a round, which are the file's last, in the order of its tasks.

        Readers count on it, whichever way they were appended.
        """
        order = {t.id: i for i, t in enumerate(tasks)}

        def place(line: bytes) -> int:
            head = json.loads(line)
            return order[head["task"]["id"]] if head["round"] == round else -1

        places = [place(line) for line in read_lines(file)]
        if places != sorted(places):
            sort_lines(file, places)

    def append(self, file: Path, trajectories: Iterable[Trajectory]) -> None:
        """Appends the trajectories of a group to a file, all of them or none."""
        append_lines(file, [t.model_dump_json() for t in trajectories])

    def write_pairs(
        self, round: int, pairs: Iterable[PreferencePair], report: dict[str, Any]
    ) -> None:
        """Stores the preference pairs of a round, and figures on them."""
        folder = self.round_folder(round)
        write_whole(folder / "pairs-report.json", json.dumps(report, indent=1))
        write_whole(folder / "pairs.jsonl", _jsonl(p.model_dump_json() for p in pairs))

    def write_scores(self, evaluation: Path, scores: Iterable[Record]) -> None:
        """Stores how each trajectory of an evaluation's file was scored."""
        file = evaluation.with_suffix(".scores.jsonl")
        write_whole(file, _jsonl(score.model_dump_json() for score in scores))

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends an evaluation."""
        append_lines(self.path / "metrics.jsonl", [json.dumps(row)])

    # Helpers.

    def _task_file(self, split: str) -> Path:
        if split == "train":
            return self.path / "tasks.jsonl"
        return self.path / "evaluation" / f"{split}.jsonl"

    def _round_tasks(self, round: int) -> Path:
        return self.round_folder(round) / "tasks.jsonl"

    def _task_ids(self, round: int) -> list[str]:
        return [json.loads(line)["id"] for line in read_lines(self._round_tasks(round))]

    def _records(self, file: Path, record: type[R]) -> list[R]:
        context = {"blobs": self.blobs.folder}
        return [record.model_validate_json(line, context=context) for line in read_lines(file)]


def _suffix(control: str | None) -> str:
    return f"-{control}" if control else ""


def _jsonl(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _read_recipe(folder: Path) -> Recipe:
    config = folder / RUN_RECIPE
    try:
        return parse_recipe(tomllib.loads(config.read_text(encoding="utf-8")), str(config))
    except FileNotFoundError:
        raise StoreError(f"{folder} is not a run: it has no {RUN_RECIPE}.") from None
