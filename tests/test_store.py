"""The run folder: what is written stays, what is torn is owed again, one writer at a time."""

import os
from pathlib import Path

import pytest

from sport.config import Recipe
from sport.jsonl import StoreError, append_lines, keep_lines, mend, read_lines
from sport.recipes import parse_recipe
from sport.store import Run
from sport.types import PreferencePair, Task, Trajectory


def recipe(**changes: object) -> Recipe:
    return parse_recipe({"name": "r", "synthesis": {"tasks_per_round": 5}, **changes}, "test")


def tasks(n: int, prefix: str = "t") -> list[Task]:
    return [Task(id=f"{prefix}{i}", query="q") for i in range(n)]


def trajectory(task: Task, round: int = 1) -> Trajectory:
    return Trajectory(task=task, opening=(), steps=(), end="failed", round=round)


def test_a_torn_last_line_is_not_read_and_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    append_lines(file, ["1", "2"])
    with file.open("ab") as out:
        out.write(b'{"torn')
    assert list(read_lines(file)) == [b"1\n", b"2\n"]
    mend(file)
    append_lines(file, ["3"])
    assert file.read_bytes() == b"1\n2\n3\n"


def test_lines_after_a_count_are_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    append_lines(file, ["1", "2", "3"])
    keep_lines(file, 1)
    assert file.read_bytes() == b"1\n"
    keep_lines(tmp_path / "none", 3)
    assert not (tmp_path / "none").exists()


def test_what_was_written_is_read_by_another_opening(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", recipe()) as run:
        run.add_tasks(tasks(3), round=1)
        run.add_tasks(tasks(2, "e"), split="test")
        run.append(run.path / "trajectories.jsonl", [trajectory(t) for t in tasks(3)])
        run.write_pairs(
            1, [PreferencePair(task_id="t0", round=1, step=0, chosen=1, rejected=0)], {"pairs": 1}
        )
        run.add_metrics({"round": 0})
    again = Run.open(tmp_path / "run")
    assert again.recipe == recipe()
    assert [t.id for t in again.tasks()] == ["t0", "t1", "t2"]
    assert [t.id for t in again.tasks("test")] == ["e0", "e1"]
    assert [t.task.id for t in again.trajectories()] == ["t0", "t1", "t2"]
    assert list(again.trajectories(2)) == []
    assert len(again.pairs()) == len(again.pairs(1)) == 1
    assert again.metrics() == [{"round": 0}]


def test_rounds_may_share_tasks_and_keep_their_own_order(tmp_path: Path) -> None:
    with Run.create(tmp_path, recipe()) as run:
        run.add_tasks(tasks(3), round=1)
        run.add_tasks([*tasks(3)[::-1], *tasks(1, "new")], round=2)
        assert [t.id for t in run.tasks(round=2)] == ["t2", "t1", "t0", "new0"]
        assert len(run.tasks()) == 4


def test_files_of_tasks_lie_in_the_runs_blobs_wherever_it_is(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", recipe()) as run:
        file = run.blobs.put(b"bytes", "image_0.png", "image/png")
        run.add_tasks([Task(id="t", query="q", files=(file,))], round=1)
    os.rename(tmp_path / "run", tmp_path / "moved")
    [task] = Run.open(tmp_path / "moved").tasks()
    assert task.files[0].path.read_bytes() == b"bytes"


@pytest.mark.parametrize(("written", "kept"), [(0, 0), (1, 0), (2, 2), (3, 2), (5, 5)])
def test_a_partial_group_is_owed_again(tmp_path: Path, written: int, kept: int) -> None:
    with Run.create(tmp_path, recipe()) as run:
        file = run.path / "trajectories.jsonl"
        run.append(file, [trajectory(t, round=1) for t in tasks(5, "old")])
        run.append(file, [trajectory(t, round=2) for t in tasks(written)])
        with file.open("ab") as out:
            out.write(b'{"task": {"id"')
        assert list(run.owed(file, tasks(5), round=2, group=2)) == tasks(5)[kept:]
        assert [t.task.id for t in run.trajectories(2)] == [f"t{i}" for i in range(kept)]
        assert len(list(run.trajectories(1))) == 5
        assert file.read_bytes().endswith(b"\n")


def test_trajectories_of_other_tasks_are_refused(tmp_path: Path) -> None:
    with Run.create(tmp_path, recipe()) as run:
        file = run.path / "trajectories.jsonl"
        run.append(file, [trajectory(t) for t in tasks(2)])
        with pytest.raises(StoreError, match="not those of the round's tasks"):
            run.owed(file, tasks(4)[::-1], round=1, group=2)


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with Run.create(tmp_path, recipe()):
        with pytest.raises(StoreError, match=f"another process.*pid {os.getpid()}"):
            Run.create(tmp_path, recipe())
        assert Run.open(tmp_path).metrics() == []
    Run.create(tmp_path, recipe()).close()


def test_another_recipe_is_refused_but_more_rounds_are_not(tmp_path: Path) -> None:
    Run.create(tmp_path, recipe()).close()
    with pytest.raises(StoreError, match="explore.max_steps, seed"):
        Run.create(tmp_path, recipe(seed=1, explore={"max_steps": 3}))
    with Run.create(tmp_path, recipe(rounds=4)) as run:
        assert Run.open(run.path).recipe.rounds == 4


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="neither empty nor a run"):
        Run.create(tmp_path, recipe())
    with pytest.raises(StoreError, match="is not a run"):
        Run.open(tmp_path)


def test_the_adapter_of_a_round_is_found_or_missed_by_name(tmp_path: Path) -> None:
    with Run.create(tmp_path, recipe()) as run:
        assert run.adapter(0) is None and run.adapter() is None
        with pytest.raises(StoreError, match="no adapter of round 1"):
            run.adapter(1)
        run.adapter_folder(1).mkdir(parents=True)
        run.round_folder(1).mkdir(parents=True)
        assert run.adapter() == run.adapter(1) == tmp_path / "adapters" / "r1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(StoreError, match="disk is full. Free some space"):
        append_lines(link, ["1"])
