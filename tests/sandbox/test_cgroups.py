"""Control groups: which group is divided, what is asked of the kernel, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, Limits
from sport.sandbox.cgroups import ControlGroups, NoGroups, open_groups


@pytest.fixture
def groups() -> Iterator[ControlGroups]:
    """Those of this machine."""
    try:
        made = open_groups()
    except NoGroups as reason:
        pytest.skip(f"no control groups here: {reason}")
    yield made
    made.close()
    assert not made.path.exists()


def test_the_reason_is_told_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(NoGroups, match="no cgroup v2"):
        open_groups(tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    with pytest.raises(NoGroups, match="no writable group with the controllers"):
        open_groups(tmp_path)
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cgroup.subtree_control").write_text("cpu pids")
    with pytest.raises(NoGroups, match="no writable group with the controllers"):
        open_groups(tmp_path)


def test_what_the_kernel_is_asked_for(tmp_path: Path) -> None:
    """A folder stands for the kernel's: what is written shows, and it refuses to be removed."""
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids")
    groups = open_groups(tmp_path)
    assert (groups.path / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = groups.make("w0", Limits(memory_mb=100, disk_mb=20, processes=4))
    group.add(123)
    written = {f.name: f.read_text() for f in group.path.iterdir()}
    assert written == {
        "memory.max": str(120 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "12",
        "cgroup.procs": "123",
    }
    assert not group.ran_out_of_memory()
    (group.path / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    assert group.ran_out_of_memory()


async def test_candidates_are_in_groups_of_their_own(groups: ControlGroups) -> None:
    limits = Limits(memory_mb=64, disk_mb=1, wall_s=10)
    async with ForkSandbox(limits=limits) as sandbox:
        assert "cgroup v2" in sandbox.tier_details["limits"]
        base = await sandbox.open()
        codes = ["'fine'", "x = b'x' * (200 << 20)"]
        fine, large = await sandbox.run(base, codes)
        assert (fine.value, large.status) == ("'fine'", "memory")


async def test_details_name_what_bounds_a_candidate(sandbox: ForkSandbox) -> None:
    await sandbox.open()
    details = sandbox.tier_details
    assert list(details) == ["namespaces", "Landlock", "seccomp", "limits"]
    assert "watcher" in details["limits"]
    if "cgroup v2 at" not in details["limits"]:
        assert "(no " in details["limits"], "the reason is told"
