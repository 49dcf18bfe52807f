"""Worlds: opening, running, committing, and what ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, Limits, SandboxError


async def test_an_open_file_writes_to_the_candidates_own_copy(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    [first] = await sandbox.run(base, ["f = open('log.txt', 'a'); _ = f.write('one '); f.flush()"])
    base = await sandbox.commit(first)
    code = "_ = f.write('{}'); f.flush(); print(open('log.txt').read())"
    a, b = await sandbox.run(base, [code.format("two"), code.format("three")])
    assert (a.stdout, b.stdout) == ("one two\n", "one three\n")


@pytest.mark.parametrize("tier", ["strong", "standard"])
async def test_libraries_find_a_home(tier: str) -> None:
    async with ForkSandbox(tier=tier) as sandbox:
        base = await sandbox.open()
        code = (
            "from pathlib import Path\n(Path.home() / '.config').mkdir()\n"
            "(Path.home() / '.config/x').write_text('x')\nopen('plot.png', 'w').write('x')"
        )
        [outcome] = await sandbox.run(base, [code])
    assert outcome.status == "ok", outcome
    assert [f.path for f in outcome.files] == ["plot.png"], "settings are no products"


async def test_absolute_paths_stay_true(sandbox: ForkSandbox, pictures: Path) -> None:
    base = await sandbox.open(pictures)
    code = "import os\npath = os.path.abspath('image_0.png')\nprint(path)"
    for _ in range(3):
        [outcome] = await sandbox.run(base, [code])
        assert outcome.stdout == "/workspace/image_0.png\n"
        base = await sandbox.commit(outcome)
        code = "print(path)\nassert open(path).read() == 'picture'"
    [shown] = await sandbox.run(base, ["open('/workspace/image_0.png').read()"])
    assert shown.value == "'picture'", "what observations say can be used by code"


async def test_threads_end_with_the_step_and_pools_are_renewed(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    [first] = await sandbox.run(
        base,
        [
            "import threading, time\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "pool = ThreadPoolExecutor(2)\nprint(pool.submit(len, 'abc').result())\n"
            "t = threading.Thread(target=time.sleep, args=(60,), daemon=True); t.start()"
        ],
    )
    assert first.stdout == "3\n"
    assert any("hreads" in note for note in first.notes), first
    base = await sandbox.commit(first)
    [second] = await sandbox.run(base, ["pool.submit(len, 'abcd').result(timeout=5)"])
    assert second.value == "4", second


async def test_child_processes_end_with_the_step(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    code = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('parent')"
    [outcome] = await sandbox.run(base, [code])
    assert outcome.stdout == "parent\n"
    assert any("processes" in note for note in outcome.notes), outcome


async def test_a_forked_child_does_not_answer_for_its_parent(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    code = (
        "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n"
        "final_answer('parent' if pid else 'child')"
    )
    [outcome] = await sandbox.run(base, [code])
    assert outcome.final_answer is not None
    assert outcome.final_answer.value == "parent"


async def test_seeds_decide_random_numbers(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    code = "import random\nrandom.random()"
    first = [o.value for o in await sandbox.run(base, [code, code], seed=1)]
    again = [o.value for o in await sandbox.run(base, [code, code], seed=1)]
    other = [o.value for o in await sandbox.run(base, [code, code], seed=2)]
    assert first == again
    assert len({*first, *other}) == 4


async def test_files_that_were_made_are_reported(sandbox: ForkSandbox, pictures: Path) -> None:
    (pictures / "kept.txt").write_text("kept")
    base = await sandbox.open(pictures)
    code = (
        "import os\nos.mkdir('out')\nopen('out/a.txt', 'w').write('hello')\n"
        "open('image_0.png', 'w').write('PICTURE')\nos.symlink('/etc/passwd', 'link')"
    )
    [outcome] = await sandbox.run(base, [code])
    assert [(f.path, f.size) for f in outcome.files] == [("image_0.png", 7), ("out/a.txt", 5)]
    assert outcome.files[1].sha256.startswith("2cf24dba5fb0a30e")
    assert await sandbox.read_file(outcome, "out/a.txt") == b"hello"
    for bad in ("link", "../base/image_0.png", "/etc/passwd", "out", "missing"):
        with pytest.raises(OSError, match="."):
            await sandbox.read_file(outcome, bad)


async def test_fourteen_steps_and_a_clear_end(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    for step in range(14):
        [outcome] = await sandbox.run(base, [f"n = {step}\nopen('n.txt', 'w').write(str(n))"])
        assert outcome.status == "ok", outcome
        base = await sandbox.commit(outcome)
    [last] = await sandbox.run(base, ["print(n, open('n.txt').read())"])
    assert last.stdout == "13 13\n"


async def test_many_worlds_run_side_by_side(pictures: Path) -> None:
    async with ForkSandbox() as sandbox:

        async def trajectory(number: int) -> list[str]:
            base = await sandbox.open(pictures)
            seen = []
            for step in range(2):
                code = f"names = globals().get('names', []) + [({number}, {step})]\nprint(names)"
                outcomes = await sandbox.run(base, [code, "names = 'wrong'"])
                seen.append(outcomes[0].stdout)
                base = await sandbox.commit(outcomes[0])
            await sandbox.discard(base)
            return seen

        results = await asyncio.gather(*map(trajectory, range(24)))
    for number, seen in enumerate(results):
        assert seen == [f"[({number}, 0)]\n", f"[({number}, 0), ({number}, 1)]\n"]


async def test_runs_of_different_worlds_overlap_in_time(sandbox: ForkSandbox) -> None:
    bases = [await sandbox.open() for _ in range(4)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    codes = ["import time\ntime.sleep(1)"] * 2
    await asyncio.gather(*(sandbox.run(base, codes) for base in bases))
    assert loop.time() - began < 4, "eight sleeps of a second each"


async def test_what_is_gone_cannot_be_used(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    ok, dead = await sandbox.run(base, ["x = 1", "import os\nos._exit(3)"])
    assert dead.status == "died"
    with pytest.raises(SandboxError, match="gone"):
        await sandbox.commit(dead)
    after = await sandbox.commit(ok)
    with pytest.raises(SandboxError, match="gone"):
        await sandbox.run(base, ["1"])
    await sandbox.discard(base)
    await sandbox.discard(after)
    with pytest.raises(SandboxError, match="gone"):
        await sandbox.run(after, ["1"])


async def test_a_workspace_that_cannot_be_had_is_named(
    sandbox: ForkSandbox, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError, match="nowhere is not a folder"):
        await sandbox.open(tmp_path / "nowhere")


async def test_two_runs_from_one_base_wait_for_each_other(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    [first] = await sandbox.run(base, ["x = 1"])
    base = await sandbox.commit(first)
    codes = ["import time\ntime.sleep(0.2)\nx"]
    results = await asyncio.gather(*(sandbox.run(base, codes) for _ in range(3)))
    assert [r[0].value for r in results] == ["1"] * 3


async def test_closing_ends_a_run_under_way() -> None:
    sandbox = ForkSandbox()
    base = await sandbox.open()
    running = asyncio.create_task(sandbox.run(base, ["import time\ntime.sleep(60)"]))
    await asyncio.sleep(0.3)
    await sandbox.close()
    [outcome] = await asyncio.wait_for(running, 5)
    assert outcome.status == "died"


async def test_a_closed_sandbox_says_so() -> None:
    sandbox = ForkSandbox(limits=Limits())
    await sandbox.open()
    assert sandbox.tier in ("strong", "standard")
    await sandbox.close()
    await sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.open()
