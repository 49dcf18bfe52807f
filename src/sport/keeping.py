"""Which trajectories are tuned on: each is kept or dropped as a whole, once, with a reason."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sport.assemble import entered
from sport.concurrency import all_of
from sport.jsonl import append_lines, mend, read_lines
from sport.progress import Activity, Progress
from sport.remote.ledger import Ledger
from sport.store import Run
from sport.types import Step, Trajectory
from sport.workbench import Workbench

if TYPE_CHECKING:
    from sport.verify.trajectory import Opinion, TrajectoryVerifier


def keep(
    run: Run,
    bench: Workbench,
    ledger: Ledger,
    progress: Progress,
    trajectories: Sequence[Trajectory],
    round: int,
) -> Sequence[Trajectory]:
    """The trajectories of a round that the recipe's ``[keep]`` keeps.

    A step that had a single candidate, so that no verdict was asked for, counts as chosen by the
    verdict on the whole.

    Args:
        run: The run; opinions go to the round's ``kept.jsonl``.
        bench: Makes the verifier.
        ledger: Where its requests are booked.
        progress: Told how it goes.
        trajectories: The round's.
        round: The round.
    """
    if run.recipe.keep.kind == "all":
        return trajectories
    file = run.kept_file(round)
    mend(file)
    known = opinions(file)
    owed = [t for t in trajectories if t.task.id not in known]
    if owed:
        name = f"round {round}: keeping or dropping trajectories"
        verifier = bench.trajectory_verifier()
        with progress.activity(name, len(owed)) as activity, ledger.at("keep", round):
            asyncio.run(_ask(owed, verifier, file, ledger, activity))
        known = opinions(file)
    kept = [_whole(t) for t in trajectories if known[t.task.id].keep]
    counts = Counter(known[t.task.id].reason for t in trajectories)
    told = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
    progress.say(f"round {round}: {len(kept)} of {len(trajectories)} trajectories ({told})")
    return kept


def opinions(file: Path) -> dict[str, Opinion]:
    """What was decided, by task."""
    from sport.verify.trajectory import Opinion

    rows = [json.loads(line) for line in read_lines(file)]
    return {row["task"]: Opinion.model_validate(row["opinion"]) for row in rows}


async def _ask(
    owed: Sequence[Trajectory],
    verifier: TrajectoryVerifier,
    file: Path,
    ledger: Ledger,
    activity: Activity,
) -> None:
    places = asyncio.Semaphore(64)

    async def one(trajectory: Trajectory) -> None:
        async with places:
            ledger.check()
            opinion = await verifier.consider(trajectory)
        row = {"task": trajectory.task.id, "opinion": opinion.model_dump(mode="json")}
        append_lines(file, [json.dumps(row)])
        ledger.flush()
        activity.advance(1)

    async with entered(verifier):
        await all_of([one(t) for t in owed])


def _whole(trajectory: Trajectory) -> Trajectory:
    return trajectory.model_copy(update={"steps": tuple(map(_chosen, trajectory.steps))})


def _chosen(step: Step) -> Step:
    if len(step.candidates) > 1 or step.chosen is None or step.verdict.verifier:
        return step
    verdict = step.verdict.model_copy(
        update={"best": step.chosen, "reason": "The whole trajectory was kept."}
    )
    return step.model_copy(update={"verdict": verdict})
