"""Calls the tool as an agent would, without a model: a script says what the agent writes.

Everything else is real: the tasks, the tool and the sandbox. Usage: ``python try_tool.py``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sport.blobs import BlobStore
from sport.loop import explore
from sport.policy.base import SamplingPlan
from sport.policy.messages import opening
from sport.policy.scripted import ScriptedPolicy, action
from sport.sandbox import ForkSandbox, Limits
from sport.tasks import load_tasks
from sport.tools.load import load_tools

FOLDER = Path(__file__).parent


async def main() -> None:
    """Solves the first task, and prints what the agent saw and answered."""
    task = load_tasks(FOLDER / "tasks.jsonl", BlobStore(FOLDER / "blobs"))[0]
    tools = load_tools(["my_tools:weigh"], {}, root=FOLDER)
    policy = ScriptedPolicy(
        [action('grams = weigh("image_0.png")\nprint(grams)'), action("final_answer(grams)")]
    )
    sandbox = ForkSandbox(tools, Limits())
    try:
        trajectory = await explore(
            task,
            policy,
            sandbox,
            opening=opening(task, "code_agent", tools.values()),
            plan=SamplingPlan(temperatures=(0.0,)),
        )
    finally:
        await sandbox.close()
    print(task.query)
    for step in trajectory.steps:
        print(step.candidates[0].observation.text)


if __name__ == "__main__":
    asyncio.run(main())
