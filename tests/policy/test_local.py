import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from sport.pocket.model import build_model
from sport.policy.base import ContextFull, Request, SamplingPlan
from sport.policy.decode import Stops
from sport.policy.encode import encode
from sport.policy.local import LocalPolicy
from sport.types import Action, File, Message

WARM = SamplingPlan(temperatures=(0.0, 1.5, 3.0, 3.0), top_p=0.95, max_new_tokens=16)
GREEDY = SamplingPlan(temperatures=(0.0,), max_new_tokens=16)


@pytest.fixture
def policy(tiny: tuple[Any, Any]) -> LocalPolicy:
    return LocalPolicy(*tiny, name="tiny")


@pytest.fixture
def biased(tiny: tuple[Any, Any]) -> LocalPolicy:
    """A model that likes the end marker, and loves the image token and padding."""
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    tokenizer = processor.tokenizer
    head = torch.nn.Linear(64, len(tokenizer), bias=True)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[tokenizer.convert_tokens_to_ids("\n```<end_action>")] = 9
        head.bias[[processor.image_token_id, tokenizer.pad_token_id]] = 40
    model.set_output_embeddings(head)
    return LocalPolicy(model, processor, "biased")


def request(
    text: str, *images: File, plan: SamplingPlan = WARM, seeds: tuple[int, ...] = (1, 2, 3, 4)
) -> Request:
    message = Message(role="user", text=text, images=images)
    return Request(messages=(message,), seeds=seeds[: plan.n], plan=plan)


def sample(policy: LocalPolicy, *requests: Request) -> list[list[Action]]:
    answers = asyncio.run(policy.sample(requests))
    assert all(isinstance(a, list) for a in answers)
    return answers  # type: ignore[return-value]


def some(pictures: list[File]) -> list[Request]:
    """Prompts of different lengths, with none, one and two images."""
    return [
        request("How many?"),
        request("How much do 3 rice cost? " * 3, pictures[0]),
        request("What?", pictures[0], pictures[1]),
        request("How much larger is rice than tea in the chart?", pictures[2]),
    ]


def test_greedy_equals_generate(policy: LocalPolicy, pictures: list[File]) -> None:
    model, processor = policy.model, policy.processor
    suppressed = Stops(model, processor).suppress
    for asked, answers in zip(some(pictures), sample(policy, *some(pictures)), strict=True):
        chat = encode(processor, asked.messages)
        ids = torch.tensor([chat.ids])
        whole = model.generate(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **chat.vision,
            do_sample=False,
            max_new_tokens=16,
            suppress_tokens=suppressed,
        )
        expected = processor.tokenizer.decode(whole[0, ids.shape[1] :])
        assert answers[0].text == expected.removesuffix(processor.tokenizer.eos_token)


def test_candidates_of_neighbours_do_not_matter(policy: LocalPolicy, pictures: list[File]) -> None:
    together = sample(policy, *some(pictures))
    apart = [sample(policy, r)[0] for r in some(pictures)]
    assert [[a.text for a in x] for x in together] == [[a.text for a in x] for x in apart]


def test_a_row_depends_on_its_own_seed(policy: LocalPolicy, pictures: list[File]) -> None:
    [a] = sample(policy, request("How many?", seeds=(1, 2, 3, 4)))
    [b] = sample(policy, request("How many?", seeds=(1, 9, 3, 8)))
    assert a == sample(policy, request("How many?"))[0], "equal seeds, equal actions"
    assert [x.text == y.text for x, y in zip(a, b, strict=True)] == [True, False, True, False]
    assert len({x.text for x in a}) == 4
    assert [x.temperature for x in a] == [0.0, 1.5, 3.0, 3.0]


def test_small_batches_give_the_same(tiny: tuple[Any, Any], pictures: list[File]) -> None:
    wide = sample(LocalPolicy(*tiny, name="wide"), *some(pictures))
    narrow = sample(LocalPolicy(*tiny, name="narrow", batch_rows=4), *some(pictures))
    assert [[a.text for a in x] for x in wide] == [[a.text for a in x] for x in narrow]


def test_log_probability_is_that_of_the_tokens(biased: LocalPolicy, pictures: list[File]) -> None:
    """Rows end after different numbers of tokens, and are dropped while others go on."""
    model, processor = biased.model, biased.processor
    plan = SamplingPlan(temperatures=(2.0,) * 32, top_p=1.0, max_new_tokens=24)
    asked = request("How many?", pictures[3], plan=plan, seeds=tuple(range(32)))
    [answers] = sample(biased, asked)
    prompt = encode(processor, asked.messages)
    lengths = []
    for answer in answers:
        ids = processor.tokenizer(answer.text, add_special_tokens=False)["input_ids"]
        whole = torch.tensor([[*prompt.ids, *ids]])
        with torch.no_grad():
            logps = model(input_ids=whole, **prompt.vision).logits[0].log_softmax(-1)
        start = len(prompt.ids)
        total = sum(float(logps[start + k - 1, t]) for k, t in enumerate(ids))
        # A text may have other tokens than those that were sampled: then their sums differ.
        if answer.finish == "stop" and answer.logp == pytest.approx(total, abs=2e-4):
            lengths.append(len(ids))
    assert len(set(lengths)) >= 5
    assert max(lengths) >= 5


def test_nucleus_holds(policy: LocalPolicy) -> None:
    narrow = SamplingPlan(temperatures=(1.0,) * 4, top_p=1e-6, max_new_tokens=16)
    [greedy] = sample(policy, request("How many?", plan=GREEDY))
    [answers] = sample(policy, request("How many?", plan=narrow))
    assert {a.text for a in answers} == {greedy[0].text}


def test_frequencies_follow_the_distribution(policy: LocalPolicy) -> None:
    n, hot = 2000, 1.5
    plan = SamplingPlan(temperatures=(hot,) * n, top_p=1.0, max_new_tokens=1)
    [answers] = sample(policy, request("How many?", plan=plan, seeds=tuple(range(n))))
    chat = encode(policy.processor, request("How many?").messages)
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([chat.ids])).logits[0, -1]
    logits[Stops(policy.model, policy.processor).suppress] = float("-inf")
    expected = (logits / hot).softmax(-1)
    texts = [policy.processor.tokenizer.decode([k]) for k in range(len(expected))]
    likely = [k for k in expected.topk(20).indices.tolist() if texts.count(texts[k]) == 1]
    assert len(likely) >= 3
    for token in likely:
        text = texts[token]
        share = sum(a.text == text for a in answers) / n
        p = float(expected[token])
        assert abs(share - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_d9_the_pixels_reach_the_forward_pass(policy: LocalPolicy, pictures: list[File]) -> None:
    one, two = pictures[:2]
    [[a], [b], [c], [d]] = sample(
        policy,
        request("What?", one, plan=GREEDY),
        request("What?", two, plan=GREEDY),
        request("What?", one, two, plan=GREEDY),
        request("What?", two, one, plan=GREEDY),
    )
    assert len({x.logp for x in (a, b, c, d)}) == 4


def test_actions_end_at_the_marker_and_never_hold_special_tokens(biased: LocalPolicy) -> None:
    plan = SamplingPlan(temperatures=(2.0,) * 32, top_p=1.0, max_new_tokens=40)
    [answers] = sample(biased, request("How many?", plan=plan, seeds=tuple(range(32))))
    ended = [a for a in answers if a.finish == "stop" and a.text.endswith("<end_action>")]
    assert len(ended) >= 16
    assert all(a.text.count("<end_action>") <= 1 for a in answers)
    assert all("<image>" not in a.text and "<|" not in a.text for a in answers)


def test_a_prompt_without_room_is_context_full(policy: LocalPolicy) -> None:
    long = request("rice " * 700)
    answers = asyncio.run(policy.sample([request("a"), long, request("b")]))
    assert isinstance(answers[1], ContextFull)
    assert [len(a) for a in (answers[0], answers[2]) if isinstance(a, list)] == [4, 4]
    assert asyncio.run(policy.sample([])) == []


def test_saved_loaded_and_adapted(
    tiny: tuple[Any, Any], pictures: list[File], tmp_path: Path
) -> None:
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
    adapted.save_pretrained(tmp_path / "r1")
    plain = LocalPolicy.load(tmp_path / "base")
    tuned = LocalPolicy.load(tmp_path / "base", tmp_path / "r1")
    assert (plain.name, tuned.name) == ("base", "base+r1")

    asked = some(pictures)
    assert sample(plain, *asked) == sample(LocalPolicy(*tiny, name="tiny"), *asked)
    given = sample(LocalPolicy(adapted, processor, "adapted"), *asked)
    assert sample(tuned, *asked) == given
    assert given != sample(plain, *asked)


def test_folders_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no model"):
        LocalPolicy.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no PEFT adapter"):
        LocalPolicy.load(tmp_path, adapter=tmp_path / "r1")


async def test_the_event_loop_stays_alive(policy: LocalPolicy) -> None:
    plan = SamplingPlan(temperatures=(1.0,) * 64, max_new_tokens=60)
    work = asyncio.create_task(
        policy.sample([request("How many?", plan=plan, seeds=tuple(range(64)))])
    )
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 3


def test_four_bits_without_their_package_say_what_to_install(tmp_path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    model, processor = build_model(hidden=32, layers=1, heads=2, vision_hidden=16, vision_layers=1)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        LocalPolicy.load(tmp_path, four_bit=True)
