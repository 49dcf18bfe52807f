from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, Limits, Outcome


@pytest.fixture
async def sandbox() -> AsyncIterator[ForkSandbox]:
    async with ForkSandbox() as made:
        yield made


@pytest.fixture(params=["strong", "standard"])
async def walled(request: pytest.FixtureRequest) -> AsyncIterator[ForkSandbox]:
    async with ForkSandbox(tier=request.param, limits=Limits(wall_s=10, cpu_s=5)) as made:
        yield made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "image_0.png").write_bytes(b"picture")
    return folder


async def run_one(sandbox: ForkSandbox, code: str, workspace: Path | None = None) -> Outcome:
    base = await sandbox.open(workspace)
    try:
        [outcome] = await sandbox.run(base, [code])
    finally:
        await sandbox.discard(base)
    return outcome


@pytest.fixture
def one() -> Callable[..., Awaitable[Outcome]]:
    return run_one
