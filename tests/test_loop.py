"""The inner and the outer loop, over the real sandbox."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from sport.blobs import BlobStore
from sport.loop import explore, improve
from sport.policy.base import ContextFull, Request, SamplingPlan
from sport.policy.messages import opening
from sport.policy.scripted import ScriptedPolicy, action
from sport.sandbox import ForkSandbox, Limits
from sport.tune.pairs import build_pairs
from sport.types import Action, Candidate, Gold, Step, Task, Trajectory, Verdict

TASK = Task(id="t", query="What is it?", gold=Gold(answer=1))
ANSWER = action("final_answer(1)")


@pytest.fixture
async def sandbox() -> AsyncIterator[ForkSandbox]:
    forks = ForkSandbox({}, Limits(wall_s=2.0, cpu_s=2.0))
    yield forks
    await forks.close()


class Names:
    """Names the candidates that it is told to, one a step."""

    name = "names"

    def __init__(self, *best: int | None) -> None:
        self.best = best
        self.tasks: list[Task] = []

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        self.tasks.append(task)
        return Verdict(best=self.best[len(steps) % len(self.best)], reason="told so")


async def solve(
    sandbox: ForkSandbox,
    script: Sequence[str | Sequence[str]] | Callable[[Request], str],
    *best: int | None,
    task: Task = TASK,
    **settings: int,
) -> Trajectory:
    policy = ScriptedPolicy(script)
    verifier = Names(*best) if best else None
    n = max([len(s) for s in script if not isinstance(s, str)], default=1) if best else 1
    plan = SamplingPlan(temperatures=(1.0,) * n)
    chat = opening(task, "compact")
    return await explore(task, policy, sandbox, verifier, opening=chat, plan=plan, **settings)


def observed(trajectory: Trajectory, step: int) -> list[str]:
    return [c.observation.text for c in trajectory.steps[step].candidates]


async def test_d1_every_candidate_starts_from_the_winners_world(sandbox: ForkSandbox) -> None:
    """D1: no candidate sees a sibling, and the next step has the winner's state."""
    sets = [action(f"x = {i}\nopen('f', 'a').write('{i}')\nprint(x)") for i in range(3)]
    looks = action("print(x, open('f').read())")
    done = await solve(sandbox, [sets, looks, ANSWER], 1, 0, 0)
    assert observed(done, 0) == ["0", "1", "2"]
    assert observed(done, 1) == ["1 1"] * 3
    assert [s.chosen for s in done.steps] == [1, 0, 0]


async def test_d2_a_failed_verdict_goes_on_honestly_and_teaches_nothing(
    sandbox: ForkSandbox,
) -> None:
    """D2: without a verdict the first candidate that ran goes on, and no pair comes of it."""
    first = [action("1 / 0"), "no code at all", action("x = 7"), action("x = 8")]
    done = await solve(sandbox, [first, action("final_answer(x)")], None, 0)
    assert done.steps[0].verdict.best is None
    assert done.steps[0].chosen == 2
    assert done.final_answer is not None and done.final_answer.value == 7
    pairs, reasons = build_pairs([done])
    assert all(pair.step != 0 for pair in pairs)
    assert reasons["no verdict"] == 4


async def test_without_a_verdict_a_failed_code_comes_before_an_unreadable_one(
    sandbox: ForkSandbox,
) -> None:
    done = await solve(sandbox, [["prose", action("x = 1\n1 / 0")], action("print(x)")], None, 0,
                       max_steps=2)  # fmt: skip
    assert done.steps[0].chosen == 1
    assert observed(done, 1)[0] == "1"


async def test_an_unreadable_action_never_reaches_the_sandbox(sandbox: ForkSandbox) -> None:
    done = await solve(sandbox, ["print(1)", ANSWER])
    [unread] = done.steps[0].candidates
    assert unread.outcome is None and unread.action.error is not None
    assert unread.observation.text == unread.action.error
    assert done.end == "finished", "the model is told what to change, and goes on"


async def test_a_step_that_leaves_no_world_ends_as_failed(sandbox: ForkSandbox) -> None:
    dies = [action("import os; os._exit(3)"), action("while True: pass")]
    done = await solve(sandbox, [dies], None)
    assert [c.outcome.status for c in done.steps[0].candidates if c.outcome] != ["ok", "ok"]
    assert (done.end, done.steps[0].chosen) == ("failed", None)


@pytest.mark.parametrize("value", ["[1, 2.5]", "{'a': None}", "0", "'x'"])
async def test_d7_an_answer_may_be_any_json_value(sandbox: ForkSandbox, value: str) -> None:
    """D7: an answer that is not a string is an answer."""
    done = await solve(sandbox, [action(f"final_answer({value})")])
    assert done.end == "finished"
    assert done.final_answer is not None and done.final_answer.value == eval(value)


async def test_it_ends_after_so_many_steps_or_errors(sandbox: ForkSandbox) -> None:
    long = await solve(sandbox, lambda request: action("print(1)"), max_steps=3)
    assert (long.end, len(long.steps)) == ("max_steps", 3)
    bad = await solve(sandbox, lambda request: action("1 / 0"), max_errors=2)
    assert (bad.end, len(bad.steps)) == ("max_errors", 2)


async def test_a_full_context_ends_it_and_is_recorded(sandbox: ForkSandbox) -> None:
    class Full(ScriptedPolicy):
        async def sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
            return [ContextFull("900 tokens, and 800 fit")]

    chat = opening(TASK, "compact")
    plan = SamplingPlan(temperatures=(0.0,))
    done = await explore(TASK, Full([]), sandbox, opening=chat, plan=plan)
    assert (done.end, done.detail, done.steps) == ("context_full", "900 tokens, and 800 fit", ())


async def test_gold_is_kept_from_verifier_and_record(sandbox: ForkSandbox) -> None:
    verifier = Names(0)
    plan = SamplingPlan(temperatures=(1.0, 1.0))
    chat = opening(TASK, "compact")
    done = await explore(TASK, ScriptedPolicy([ANSWER]), sandbox, verifier, opening=chat, plan=plan)
    assert [t.gold for t in verifier.tasks] == [None]
    assert done.task.gold is None


async def test_d6_evaluation_is_single_sample(sandbox: ForkSandbox) -> None:
    """D6: without a verifier there is one candidate, and nothing is chosen."""
    plan = SamplingPlan(temperatures=(0.7, 1.2))
    with pytest.raises(ValueError, match="2 candidates a step need a verifier"):
        await explore(TASK, ScriptedPolicy([ANSWER]), sandbox, opening=(), plan=plan)
    done = await solve(sandbox, [ANSWER])
    assert (done.verifier, done.steps[0].verdict.best, done.steps[0].chosen) == ("", None, 0)
    assert len(done.steps[0].candidates) == 1


async def test_a_verdict_out_of_range_is_a_defect(sandbox: ForkSandbox) -> None:
    with pytest.raises(ValueError, match="named candidate -1 of 2"):
        await solve(sandbox, [[ANSWER, ANSWER]], -1)


async def test_files_of_the_task_are_in_the_workspace(sandbox: ForkSandbox, tmp_path: Path) -> None:
    file = BlobStore(tmp_path).put(b"hello", "notes.txt", "text/plain")
    task = TASK.model_copy(update={"files": (file,)})
    done = await solve(sandbox, [action("final_answer(open('notes.txt').read())")], task=task)
    assert done.final_answer is not None and done.final_answer.value == "hello"


async def test_seeds_depend_on_recipe_round_task_step_and_candidate_alone(
    sandbox: ForkSandbox,
) -> None:
    async def seeds(**settings: int) -> list[int]:
        seen: list[int] = []

        def script(request: Request) -> str:
            seen.extend(request.seeds)
            return action("print(1)")

        await solve(sandbox, script, max_steps=2, **settings)
        return seen

    base = await seeds(seed=1, round=1)
    assert base == await seeds(seed=1, round=1)
    others = await seeds(seed=2, round=1) + await seeds(seed=1, round=2)
    assert len({*base, *others}) == len(base) + len(others)


async def test_equal_runs_give_equal_records(sandbox: ForkSandbox) -> None:
    from sport.types import without_timing

    async def once() -> object:
        script = [[action("import random\nprint(random.random())"), ANSWER], ANSWER]
        return without_timing((await solve(sandbox, script, 0, 0)).model_dump(mode="json"))

    assert await once() == await once()


def test_the_outer_loop_hands_each_adapter_on() -> None:
    calls: list[tuple[object, ...]] = []

    class Recorded:
        def start(self) -> Path | None:
            return None

        def synthesise(self, round: int) -> list[Task]:
            return [Task(id=f"r{round}", query="q")]

        def explore(
            self, tasks: Sequence[Task], adapter: Path | None, round: int
        ) -> list[Trajectory]:
            calls.append(("explore", round, tasks[0].id, adapter))
            return [Trajectory(task=tasks[0], opening=(), steps=(), end="failed")]

        def tune(
            self, trajectories: Sequence[Trajectory], adapter: Path | None, round: int
        ) -> Path:
            calls.append(("tune", round, trajectories[0].task.id, adapter))
            return Path(f"a{round}")

        def evaluate(self, adapter: Path | None, round: int) -> None:
            calls.append(("evaluate", round, adapter))

    assert improve(Recorded(), 2) == Path("a2")
    assert calls == [
        ("evaluate", 0, None),
        ("explore", 1, "r1", None),
        ("tune", 1, "r1", None),
        ("evaluate", 1, Path("a1")),
        ("explore", 2, "r2", Path("a1")),
        ("tune", 2, "r2", Path("a1")),
        ("evaluate", 2, Path("a2")),
    ]
