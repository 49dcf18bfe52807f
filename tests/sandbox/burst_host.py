"""A host of some user's that runs one burst of processes beside an honest sibling.

Arguments: tier, limit of processes. The first line of standard input is JSON: ``first``, which the
world runs before, and ``code``, the burst. It says ``ready`` once the world is there, waits for
another line, and writes the outcomes as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from sport.sandbox import ForkSandbox, Limits


def say(line: str) -> None:
    """To whoever started this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(tier: str, processes: int, first: str, code: str) -> None:
    """Runs ``first``, commits it, and runs the burst from there."""
    limits = Limits(wall_s=10, cpu_s=10, memory_mb=4000, processes=processes)
    async with ForkSandbox(limits=limits, tier=tier) as sandbox:
        base = await sandbox.open()
        [winner] = await sandbox.run(base, [first])
        base = await sandbox.commit(winner)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        burst, honest = await sandbox.run(base, [code, "'honest'"])
        [later] = await sandbox.run(base, ["'later'"])
        say(json.dumps([o.model_dump(mode="json") for o in (burst, honest, later)]))


if __name__ == "__main__":
    job = json.loads(sys.stdin.readline())
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), job["first"], job["code"]))
