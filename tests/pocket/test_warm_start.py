"""The embedded controller's lessons, and its training in miniature."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from sport.pocket.benchmark import AMBIGUOUS
from sport.pocket.curriculum import IGNORED, RowBuilder, make_lessons
from sport.pocket.grammar import KINDS, SPLITS, make_problem
from sport.pocket.model import BASE, build_model
from sport.pocket.render import render
from sport.pocket.teacher import demonstrate
from sport.pocket.train_base import BaseRecipe, train_base

TINY = BaseRecipe(problems=8, per_picture=1, steps=6, rows=4, copying=4, log_every=1, save_every=2)


@pytest.fixture(scope="module")
def processor():
    return build_model(hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)[1]


def test_the_ideal_moves_solve_every_problem():
    for split in SPLITS:
        for seed in range(200):
            problem = make_problem(split, seed)
            demo = demonstrate(problem, random.Random(0), clean=True)
            assert demo.faults == 0
            assert demo.answer == pytest.approx(problem.answer, abs=0.006), problem


def test_demonstrations_are_imperfect_and_end():
    demos = [demonstrate(make_problem("train", i), random.Random(i)) for i in range(600)]
    actions = sum(len(d.actions) for d in demos)
    share = sum(d.faults for d in demos) / actions
    assert 0.2 < share < 0.6
    assert all(len(d.observations) == len(d.actions) - 1 for d in demos)


def test_faults_are_concentrated():
    """In spoilt contexts one fault dominates; in the others faults are rare."""
    shares = []
    for seed in range(60):
        problem = make_problem("train", seed)
        firsts = [demonstrate(problem, random.Random(k)).actions[0] for k in range(60)]
        shares.append(max(firsts.count(a) for a in set(firsts)) / 60)
    spoilt = [s for s in shares if s < 0.75]
    assert 0.1 < len(spoilt) / len(shares) < 0.7


def test_failing_code_dominates_nowhere():
    """Else random verdicts would gain: an action that failed is never taught."""
    told, failed = Counter(), Counter()
    for seed in range(2000):
        problem = make_problem("train", seed)
        demo = demonstrate(problem, random.Random(seed))
        for observation in demo.observations:
            told[problem.kind] += 1
            failed[problem.kind] += "Error" in observation
    assert {k for k in KINDS if failed[k] > 0.15 * told[k]} == set()
    assert sum(failed.values()) > 0, "failing code is among the usual faults"


def test_where_the_picture_decides_the_first_tool_is_rarely_spoilt():
    right = Counter()
    for seed in range(2000):
        problem = make_problem("train", seed)
        if problem.kind in AMBIGUOUS:
            first = demonstrate(problem, random.Random(seed)).actions[0]
            right[problem.moves[0].tool in first] += 1
    assert right[True] > 0.8 * right.total()


def test_rows_are_what_the_processor_makes_of_the_chat(processor):
    builder = RowBuilder(processor)
    lessons = make_lessons(builder, processor, 5, 1, 10**6)
    for i, row in enumerate(lessons.rows):
        problem = make_problem("train", 10**6 + i)
        demo = demonstrate(problem, random.Random(f"{10**6 + i}/0"))
        opening = f"Files: image_0.png\n{problem.query}"
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": opening}]}]
        for k, action in enumerate(demo.actions):
            chat.append({"role": "assistant", "content": action})
            if k < len(demo.observations):
                chat.append({"role": "user", "content": f"Observation:\n{demo.observations[k]}"})
        text = processor.apply_chat_template(chat, tokenize=False)
        picture = render(problem).convert("RGB")
        encoded = processor(text=text, images=[picture], return_tensors="pt")
        assert encoded["input_ids"][0].tolist() == row.ids.tolist()
        learnt = processor.tokenizer.decode(row.ids[row.labels != IGNORED])
        assert learnt == "".join(demo.actions)
        images = processor.image_processor
        scaled = lessons.pictures[i] / 255 - np.array(images.image_mean)
        scaled = (scaled / np.array(images.image_std)).transpose(2, 0, 1)
        assert np.allclose(scaled, encoded["pixel_values"][0].numpy(), atol=1e-5)


def test_an_interrupted_training_ends_as_an_unbroken_one(tmp_path: Path):
    torch.set_num_threads(1)

    def interrupt(line: str) -> None:
        if json.loads(line).get("step") == 5:
            raise KeyboardInterrupt

    train_base(TINY, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_base(TINY, tmp_path / "broken", say=interrupt)
    train_base(TINY, tmp_path / "broken")
    whole, broken = (
        AutoModelForImageTextToText.from_pretrained(tmp_path / name).state_dict()
        for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    steps = [json.loads(x).get("step") for x in (tmp_path / "broken/train.jsonl").open()]
    assert [s for s in steps if s] == [1, 2, 3, 4, 5, 6]
    assert AutoProcessor.from_pretrained(tmp_path / "whole").tokenizer.eos_token == "<|im_end|>\n"


def test_the_shipped_model_is_small_and_loads():
    assert sum(f.stat().st_size for f in BASE.iterdir()) <= 12 * 2**20
    model = AutoModelForImageTextToText.from_pretrained(BASE)
    assert 10**6 <= sum(p.numel() for p in model.parameters()) <= 5 * 10**6
