"""Tools with side effects are called for the winner, once, and what it then sees is real."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sport.loop import explore
from sport.policy.base import SamplingPlan
from sport.policy.messages import opening
from sport.policy.scripted import ScriptedPolicy, action
from sport.sandbox import ForkSandbox, Limits, SandboxError
from sport.tools.base import Tool, tool
from sport.tools.cache import ToolCache
from sport.types import Candidate, Step, Task, Trajectory, Verdict
from sport.verify import RubricVerifier
from sport.verify.base import Verifier


class Shop:
    """A shop that takes orders, and remembers them."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def tools(self) -> list[Tool]:
        @tool(side_effects=True)
        def order(what: str) -> str:
            """Orders something."""
            if what == "air":
                raise LookupError("we have none")
            self.orders.append(what)
            return f"order {len(self.orders)}: {what}"

        @tool
        def price(what: str) -> int:
            """Tells a price."""
            return len(what)

        return [order, price]


class Names:
    """A verifier that names the same candidate at every step, or none."""

    name = "names"

    def __init__(self, best: int | None) -> None:
        self.best = best
        self.seen: list[Sequence[Candidate]] = []

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        self.seen.append(candidates)
        return Verdict(best=self.best, reason="so it is said")


async def solve(
    codes: Sequence[Sequence[str]],
    verifier: Verifier | None,
    side_effects: bool = True,
    query: str = "Order something.",
) -> tuple[Trajectory, Shop, ToolCache]:
    shop, cache = Shop(), ToolCache()
    texts = [[action(code) for code in step] for step in codes]
    plan = SamplingPlan(temperatures=(0.0,) * len(codes[0]))
    task = Task(id="t", query=query)
    async with ForkSandbox(cache.wrap(shop.tools()), side_effects=side_effects) as sandbox:
        trajectory = await explore(
            task,
            ScriptedPolicy(texts),
            sandbox,
            verifier,
            opening=opening(task, "compact"),
            plan=plan,
            max_steps=len(codes),
        )
    return trajectory, shop, cache


async def test_the_call_is_made_once_for_the_winner_and_it_sees_the_result() -> None:
    codes = [f"x = {n}\nprint('before')\nprint(order('item {n}'))\nx += 10" for n in range(5)]
    later = ["print(x)\nfinal_answer(x)"] * 5
    verifier = Names(3)
    trajectory, shop, cache = await solve([codes, later], verifier)
    assert shop.orders == ["item 3"]
    for candidate in verifier.seen[0]:
        assert candidate.outcome is not None and candidate.outcome.waits is not None
        assert candidate.ok
        assert candidate.observation.text.startswith("before\norder(what='item ")
        assert "waits: it is called if this action is chosen" in candidate.observation.text
    winner, loser = trajectory.steps[0].candidates[3], trajectory.steps[0].candidates[0]
    assert winner.observation.text == "before\norder 1: item 3"
    assert winner.outcome is not None and winner.outcome.waits is None
    assert [c.result for c in winner.outcome.tool_calls] == ["order 1: item 3"]
    assert loser.outcome is not None and loser.outcome.waits is not None
    assert loser.outcome.waits.arguments == {"what": "item 0"}
    assert trajectory.final_answer is not None and trajectory.final_answer.value == 13
    [count] = cache.store.counts()
    assert (count.tool, count.asked, count.called) == ("order", 1, 1)


async def test_a_second_call_of_the_winner_is_made_too() -> None:
    codes = ["a = order('a')\nprint(a, price('abc'), order('b'))", "price('x')"]
    trajectory, shop, _ = await solve([codes], Names(0))
    assert shop.orders == ["a", "b"]
    assert trajectory.steps[0].candidates[0].observation.text == "order 1: a 3 order 2: b"


async def test_a_loser_makes_none() -> None:
    trajectory, shop, _ = await solve([["order('a')", "print(price('abc'))"]], Names(1))
    assert shop.orders == []
    assert trajectory.steps[0].candidates[1].observation.text == "3"


async def test_without_a_verdict_the_one_without_side_effects_goes_on() -> None:
    trajectory, shop, _ = await solve([["order('a')", "print(price('abc'))"]], Names(None))
    assert trajectory.steps[0].chosen == 1
    assert shop.orders == []


async def test_the_rubric_judges_a_call_before_it_is_made() -> None:
    codes = ["print('I think')", "order('bananas')", "order('3 apples')", "final_answer('done')"]
    again = ["order('3 apples')"] * 3 + ["final_answer('order 1: 3 apples')"]
    query = "Order 3 apples, please."
    trajectory, shop, _ = await solve([codes, again], RubricVerifier(), query=query)
    assert trajectory.steps[0].verdict.best == 2
    assert "is about to call order" in trajectory.steps[0].verdict.reason
    assert shop.orders == ["3 apples"]
    assert trajectory.end == "finished"


async def test_a_failed_call_is_the_winners_to_handle() -> None:
    code = "try:\n    order('air')\nexcept LookupError as error:\n    print(error)\norder('air')"
    trajectory, shop, _ = await solve([[code, "1"]], Names(0))
    winner = trajectory.steps[0].candidates[0]
    assert winner.outcome is not None and winner.outcome.status == "error"
    assert winner.observation.text == "we have none\nLookupError: we have none (line 5)"
    assert shop.orders == []


async def test_what_does_not_fit_fails_at_once() -> None:
    verifier = Names(0)
    await solve([["order()", "1"]], verifier)
    outcome = verifier.seen[0][0].outcome
    assert outcome is not None and outcome.waits is None
    assert outcome.error is not None and "needs argument 'what'" in outcome.error.message


async def test_a_single_candidate_is_the_winner() -> None:
    trajectory, shop, _ = await solve([["print(order('a'))"]], None)
    assert shop.orders == ["a"]
    assert trajectory.steps[0].candidates[0].observation.text == "order 1: a"


@pytest.mark.parametrize("verifier", [Names(0), None])
async def test_where_they_are_refused_none_is_called(verifier: Names | None) -> None:
    codes = ["print(price('abc'))\norder('a')"] * (1 if verifier is None else 2)
    trajectory, shop, _ = await solve([codes], verifier, side_effects=False)
    assert shop.orders == []
    text = trajectory.steps[0].candidates[0].observation.text
    assert (
        text == "3\nPermissionError: order has side effects and is not to be called here (line 2)"
    )


async def test_waiting_costs_no_time_and_leaves_nothing_running(tmp_path: Path) -> None:
    beat = (
        "import os, threading, time\n"
        "def beat():\n    while True:\n        open('beat', 'a').write('.')\n"
        "        time.sleep(0.01)\n"
        "threading.Thread(target=beat, daemon=True).start()\n"
        "child = os.fork()\nif child == 0:\n    time.sleep(60)\n    os._exit(0)\n"
        "print(order('a'))\nprint(os.waitpid(child, os.WNOHANG)[0] == child)"
    )
    shop = Shop()
    tools = {t.name: t for t in shop.tools()}
    async with ForkSandbox(tools, Limits(wall_s=1.5)) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [beat], hold=True)
        assert outcome.waits is not None, outcome
        assert "Other processes that were still running ended with the step." in outcome.notes
        before = len(await sandbox.read_file(outcome, "beat"))
        time.sleep(2)
        assert len(await sandbox.read_file(outcome, "beat")) == before
        with pytest.raises(SandboxError, match="waits before a call"):
            await sandbox.commit(outcome)
        done = await sandbox.finish(outcome)
        assert done.status == "ok", done
        assert done.stdout.endswith("order 1: a\nTrue\n")
        with pytest.raises(SandboxError, match="does not wait"):
            await sandbox.finish(done)
        await sandbox.commit(done)


async def test_limits_bind_what_runs_on() -> None:
    tools = {t.name: t for t in Shop().tools()}
    async with ForkSandbox(tools, Limits(wall_s=1, cpu_s=60)) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, ["order('a')\nimport time\ntime.sleep(30)"], hold=True)
        done = await sandbox.finish(outcome)
    assert done.status == "timeout"
    assert done.wall_s < 5


async def test_losers_that_wait_are_gone_with_the_step() -> None:
    shop = Shop()
    tools = {t.name: t for t in shop.tools()}
    code = "import os\nprint(os.getpid())\norder('a')"
    async with ForkSandbox(tools, tier="standard") as sandbox:
        base = await sandbox.open()
        outcomes = await sandbox.run(base, [code, code], hold=True)
        pids = [int(o.stdout) for o in outcomes]
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
        won = await sandbox.finish(outcomes[1])
        await sandbox.commit(won)
        for _ in range(100):
            if not os.path.exists(f"/proc/{pids[0]}"):
                break
            time.sleep(0.02)
        assert [os.path.exists(f"/proc/{pid}") for pid in pids] == [False, True]
    assert shop.orders == ["a"]
