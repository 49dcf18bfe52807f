"""The pocket world: disjoint splits, solvable problems, fresh tasks, a fixed benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sport.blobs import BlobStore
from sport.pocket.benchmark import AMBIGUOUS, PocketBenchmark
from sport.pocket.grammar import (
    KINDS,
    SPLITS,
    Problem,
    Scene,
    Sheet,
    Split,
    make_problem,
    products,
    shops,
)
from sport.pocket.reference import ReferenceTools
from sport.pocket.render import render
from sport.synthesis.grammar import GrammarSynthesizer
from sport.tools.base import Tool
from sport.tools.builtin import BUILTIN
from sport.tools.cache import ToolCache
from sport.types import Task

OWN_NUMBERS = {"cost", "difference", "chart", "table", "total", "cheaper"}
"""Kinds whose number combinations belong to one split; counts up to seven cannot."""


class Answered(BaseException):
    def __init__(self, value: float) -> None:
        self.value = value


def solve(problem: Problem, tools: Mapping[str, Callable[..., Any]]) -> float | None:
    """Runs the ideal moves; their code is the repository's own."""

    def final_answer(value: float) -> None:
        raise Answered(value)

    names: dict[str, Any] = {**tools, "final_answer": final_answer, "print": lambda *a: None}
    try:
        for move in problem.moves:
            exec(move.code, names)
    except Answered as answer:
        return answer.value
    except TypeError:
        return None  # a pattern did not match
    return None


POCKET_TOOLS = ("ocr", "objectlocation", "ask_search_agent", "visualizer")


def real_tools(folder: Path) -> dict[str, Callable[..., Any]]:
    """The built-in tools, called as a candidate's code calls them, over a workspace."""

    def callable_(tool: Tool) -> Callable[..., Any]:
        return lambda *args, **kwargs: tool(folder, tool.bind(args, kwargs))

    cached = ToolCache().wrap(BUILTIN[name]() for name in POCKET_TOOLS)
    return {name: callable_(tool) for name, tool in cached.items()}


def names_on(problem: Problem) -> set[str]:
    rows = problem.picture.rows if isinstance(problem.picture, Sheet) else ()
    return {*problem.words, *(row[0] for row in rows)}


def drawn(split: Split, n: int = 1500) -> list[Problem]:
    return [make_problem(split, seed) for seed in range(n)]


def test_products_and_shops_belong_to_one_split() -> None:
    for owned in (products, shops):
        groups = [set(owned(split)) for split in SPLITS]
        assert all(groups)
        assert len(set.union(*groups)) == sum(map(len, groups))


def test_splits_share_no_item_and_no_number_combination() -> None:
    names: dict[str, set[str]] = {}
    numbers: dict[str, set[tuple[object, ...]]] = {}
    shared_words = {"circle", "square", "triangle", "star", "cross", "heart", "diamond", "moon"}
    for split in SPLITS:
        problems = drawn(split)
        assert {p.kind for p in problems} == set(KINDS)
        names[split] = {
            name for p in problems for name in names_on(p) if p.kind != "chart"
        } - shared_words
        numbers[split] = {p.numbers for p in problems if p.kind in OWN_NUMBERS}
    for one in SPLITS:
        for other in SPLITS:
            if one != other:
                assert not names[one] & names[other]
                assert not numbers[one] & numbers[other]


def test_the_ideal_moves_solve_every_problem_with_reference_tools() -> None:
    for split in SPLITS:
        for problem in drawn(split, 300):
            answer = solve(problem, ReferenceTools(problem).functions)
            assert answer == pytest.approx(problem.answer, abs=0.005), problem.query


def test_the_built_in_tools_return_what_the_reference_tools_return(tmp_path: Path) -> None:
    """So the ideal moves solve rendered problems too."""
    tools = real_tools(tmp_path)
    picture = {"image_path": "image_0.png"}
    differing = []
    for problem in drawn("dev", 30):
        render(problem).save(tmp_path / "image_0.png", compress_level=1)
        reference = ReferenceTools(problem).functions
        what = "stars"
        if isinstance(problem.picture, Scene):
            what = f"{problem.picture.things[0].colour} {problem.picture.things[0].shape}"
        found = tools["objectlocation"](object=what, **picture)
        same = (
            len(found) == len(reference["objectlocation"](object=what, **picture))
            and tools["ocr"](**picture) == reference["ocr"](**picture)
            and tools["visualizer"](question="What is it?", **picture)
            == reference["visualizer"](question="What is it?", **picture)
            and solve(problem, tools) == pytest.approx(problem.answer, abs=0.005)
        )
        if not same:
            differing.append(problem.query)
    assert len(differing) <= 1, differing


def test_the_same_words_ask_for_different_tools_as_the_picture_decides() -> None:
    first_tools: dict[str, set[str]] = {}
    for problem in drawn("train"):
        if problem.kind in ("stock", "total"):
            first_tools.setdefault(problem.query, set()).add(problem.tools[0])
    assert any(tools == {"ocr", "objectlocation"} for tools in first_tools.values())


def pictures(tasks: list[Task]) -> set[str]:
    return {task.files[0].sha256 for task in tasks}


def test_a_seed_gives_the_same_tasks_and_more_of_them(tmp_path: Path) -> None:
    few = GrammarSynthesizer("train", tmp_path / "a").synthesize(8, seed=3)
    more = GrammarSynthesizer("train", tmp_path / "b").synthesize(12, seed=3)
    assert [t.model_dump() for t in few] == [t.model_dump() for t in more[:8]]
    assert len({t.id for t in more}) == len(pictures(more)) == 12


def test_seeds_and_splits_share_no_task_and_no_picture(tmp_path: Path) -> None:
    sets = [
        GrammarSynthesizer(split, tmp_path).synthesize(12, seed)
        for split in SPLITS
        for seed in (0, 1)
    ]
    assert len(set().union(*map(pictures, sets))) == 12 * len(sets)
    assert len({task.id for tasks in sets for task in tasks}) == 12 * len(sets)


def test_a_task_carries_its_picture_and_its_gold(tmp_path: Path) -> None:
    task = GrammarSynthesizer("train", tmp_path).synthesize(1, seed=0)[0]
    (file,) = task.images
    data = BlobStore(tmp_path).read(file)
    assert file.name == "image_0.png"
    assert data.startswith(b"\x89PNG") and hashlib.sha256(data).hexdigest() == file.sha256
    assert task.id.startswith("pocket-train-") and task.kind in KINDS
    assert task.gold is not None and task.gold.tools and task.gold.answer is not None


def test_a_negative_number_of_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="-1"):
        GrammarSynthesizer("train", tmp_path).synthesize(-1, seed=0)


def test_probes_change_the_picture_and_nothing_else(tmp_path: Path) -> None:
    benchmark = PocketBenchmark(tmp_path, dev=1, test=60)
    plain = [t for t in benchmark.tasks("test") if t.kind in AMBIGUOUS]
    blank, swapped = benchmark.tasks("test-blank"), benchmark.tasks("test-swapped")
    for probe in (blank, swapped):
        assert [(t.id, t.query, t.gold) for t in probe] == [(t.id, t.query, t.gold) for t in plain]
    for task in blank:
        with Image.open(task.files[0].path) as picture:
            assert picture.size >= (320, 240) and picture.convert("L").getextrema() == (255, 255)
    assert pictures(list(swapped)) == pictures(plain)
    assert all(a.files != b.files for a, b in zip(swapped, plain, strict=True))
    assert not PocketBenchmark(tmp_path, dev=1, test=1).tasks("test-swapped")


def test_the_benchmark_is_fixed_and_its_splits_are_disjoint(tmp_path: Path) -> None:
    one = PocketBenchmark(tmp_path / "a", dev=10, test=20)
    other = PocketBenchmark(tmp_path / "b", dev=10, test=20)
    dev, test = one.tasks("dev"), one.tasks("test")
    assert (len(dev), len(test)) == (10, 20)
    assert [t.model_dump() for t in test] == [t.model_dump() for t in other.tasks("test")]
    assert not pictures(list(dev)) & pictures(list(test))
    assert not {t.id for t in dev} & {t.id for t in test}
    with pytest.raises(ValueError, match="train"):
        one.tasks("train")
