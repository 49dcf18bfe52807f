"""A language model as verifier, behind a real server on the loopback."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fault_server import FaultServer
from sport.blobs import BlobStore
from sport.evals.verdicts import verdict_stats
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.remote.faults import RemoteError
from sport.remote.ledger import Ledger, of_models
from sport.tune.pairs import build_pairs
from sport.types import Step, Task, Trajectory
from sport.verify.llm import LLMVerifier
from sport.verify.prompt import check_prompt

CODES = ("print('a')", "print('b')", "print('c')", "print('d')", "print('e')")
Says = Callable[[dict[str, Any]], list[str]]


def best(number: int | None) -> str:
    return json.dumps({"reason": "so", "best": number})


def shown(body: dict[str, Any]) -> list[str]:
    """The codes in a request, in the order shown."""
    text = body["messages"][1]["content"]
    return re.findall(r"=== Candidate \d+ ===\n.*?Code:\n(.*?)\nResult:", text, re.S)


async def judge(
    world: Any,
    says: Says,
    *codes: str,
    seed: int = 0,
    refuses: tuple[int, str] | None = None,
    ledger: Ledger | None = None,
    **options: Any,
) -> tuple[Any, FaultServer]:
    with FaultServer(says=says, refuses=refuses) as server:
        settings = ServerSettings(url=server.url, attempts=2, backoff_s=0.01)
        client = ChatClient(settings, "judge", "verifier", ledger)
        async with LLMVerifier(client, **options) as verifier:
            verdict = await world.judge(verifier, *(codes or CODES), seed=seed)
    return verdict, server


async def test_the_best_is_named_in_the_callers_numbering(world: Any) -> None:
    says = lambda body: [best(shown(body).index("print('c')") + 1)]  # noqa: E731
    for seed in range(4):
        verdict, _ = await judge(world("?", files=()), says, seed=seed)
        assert (verdict.best, verdict.reason, verdict.verifier) == (2, "so", "llm:judge")
        assert sorted(verdict.order) == [0, 1, 2, 3, 4]


async def test_d5_a_preference_for_a_place_favours_no_candidate_and_shows(world: Any) -> None:
    """D5: the order is shuffled, so "always the first" is a draw by lot, and is reported."""
    here = world("?", files=())
    candidates = tuple(here.candidate(c) for c in CODES)
    steps = []
    with FaultServer(says=lambda body: [best(1)]) as server:
        client = ChatClient(ServerSettings(url=server.url), "judge", "verifier")
        async with LLMVerifier(client) as verifier:
            for seed in range(150):
                verdict = await verifier.judge(here.task, [], candidates, seed)
                steps.append(Step(index=seed, candidates=candidates, verdict=verdict, chosen=0))
    wins = Counter(s.verdict.best for s in steps)
    assert set(wins) == {0, 1, 2, 3, 4} and max(wins.values()) < 50
    stats = verdict_stats(
        [Trajectory(task=here.task, opening=(), steps=tuple(steps), end="finished")]
    )
    assert [p.won for p in stats.places] == [150, 0, 0, 0, 0]
    assert stats.places[0].interval[0] > 0.9 and stats.places[0].by_lot == pytest.approx(30)


@pytest.mark.parametrize("n", [2, 3, 7])
async def test_d5_the_prompt_names_as_many_candidates_as_there_are(world: Any, n: int) -> None:
    _, server = await judge(
        world("?", files=()), lambda body: [best(n)], *[f"x = {i}" for i in range(n)]
    )
    text = server.requests[0]["messages"][1]["content"]
    assert f"The {n} candidates" in text and f"1 to {n}" in text
    assert text.count("=== Candidate") == n


async def test_what_is_asked_for_is_json_by_a_schema(world: Any) -> None:
    _, server = await judge(world("?", files=()), lambda body: [best(1)])
    form = server.requests[0]["response_format"]
    assert form["type"] == "json_schema"
    assert "best" in form["json_schema"]["schema"]["required"]


@pytest.mark.parametrize(
    ("garbage", "what"),
    [
        ("I like the second one.", "no JSON object"),
        (best(9), "must be a whole number from 1 to 5"),
        ('{"best": "2"}', "must be a whole number"),
        ('{"best": 1.5}', "must be a whole number"),
        ('{"best": true}', "must be a whole number"),
    ],
)
async def test_d2_garbage_is_asked_again_with_the_error_and_then_no_verdict(
    world: Any, garbage: str, what: str
) -> None:
    ledger = Ledger()
    verdict, server = await judge(world("?", files=()), lambda body: [garbage], ledger=ledger)
    assert (
        verdict.best is None and verdict.reason.startswith("no verdict") and what in verdict.reason
    )
    assert len(server.requests) == 3
    told = server.requests[1]["messages"][-2:]
    assert told[0] == {"role": "assistant", "content": garbage}
    assert what in told[1]["content"] and "Answer again" in told[1]["content"]
    [(account, counts)] = of_models(ledger._pending)
    assert account.role == "verifier" and counts.faults == {"unusable verdict": 3}
    step = Step(
        index=0,
        candidates=tuple(world("?", files=()).candidate(c) for c in CODES),
        verdict=verdict,
        chosen=0,
    )
    task = Task(id="t", query="q")
    pairs, _ = build_pairs([Trajectory(task=task, opening=(), steps=(step,), end="finished")])
    assert pairs == []


async def test_a_mended_answer_counts(world: Any) -> None:
    says = lambda body: ["Let me think." if len(body["messages"]) == 2 else best(2)]  # noqa: E731
    verdict, server = await judge(world("?", files=()), says)
    assert verdict.best == verdict.order[1] and len(server.requests) == 2


async def test_json_is_found_in_prose_and_fences(world: Any) -> None:
    text = f'I weigh {{all}} of it: {{"a": 1}}.\n```json\n{best(3)}\n```\nDone.'
    verdict, _ = await judge(world("?", files=()), lambda body: [text])
    assert verdict.best == verdict.order[2]


async def test_a_model_may_abstain(world: Any) -> None:
    verdict, server = await judge(world("?", files=()), lambda body: [best(None)])
    assert verdict.best is None and verdict.reason == "abstained: so"
    assert len(server.requests) == 1


async def test_a_ranking_gives_scores(world: Any) -> None:
    says = lambda body: [json.dumps({"ranking": [3, 1, 2, 5, 4]})]  # noqa: E731
    verdict, _ = await judge(world("?", files=()), says, mode="ranking")
    in_order = [verdict.scores[i] for i in verdict.order]
    assert verdict.best == verdict.order[2] and in_order == [3.0, 2.0, 4.0, 0.0, 1.0]
    wrong = lambda body: [json.dumps({"ranking": [3, 1, 2, 5, 5]})]  # noqa: E731
    verdict, _ = await judge(world("?", files=()), wrong, mode="ranking")
    assert verdict.best is None and "every number from 1 to 5 once" in verdict.reason


async def test_scores_are_read(world: Any) -> None:
    says = lambda body: [json.dumps({"scores": [1, 2.5, 10, 0, 4]})]  # noqa: E731
    verdict, _ = await judge(world("?", files=()), says, mode="scores")
    assert verdict.best == verdict.order[2]
    assert [verdict.scores[i] for i in verdict.order] == [1, 2.5, 10, 0, 4]
    for bad in ([1, 2], [1, 2, 3, 4, 11], [1, 2, 3, 4, None]):
        verdict, _ = await judge(
            world("?", files=()), lambda body, bad=bad: [json.dumps({"scores": bad})], mode="scores"
        )
        assert verdict.best is None and "must hold 5 numbers" in verdict.reason
    verdict, _ = await judge(
        world("?", files=()), lambda body: [json.dumps({"scores": [0] * 5})], mode="scores"
    )
    assert verdict.best is None and "abstained" in verdict.reason


async def test_a_majority_of_votes_decides(world: Any) -> None:
    says = lambda body: [best(shown(body).index("print('b')") + 1)]  # noqa: E731
    verdict, server = await judge(world("?", files=()), says, votes=3)
    assert verdict.best == 1 and "3 of 3 votes" in verdict.reason
    assert len({v.order for v in verdict.votes}) == 3, "every vote sees another order"
    split = [
        (await judge(world("?", files=()), lambda body: [best(1)], votes=3, seed=seed))[0]
        for seed in range(8)
    ]
    for verdict in split:
        named = Counter(v.best for v in verdict.votes)
        [(top, times)] = named.most_common(1)
        assert verdict.best == (top if times >= 2 else None)
        assert times >= 2 or verdict.reason.startswith("votes differ")
    assert None in {v.best for v in split}


async def test_pictures_are_shown_unless_told_otherwise(tmp_path: Path) -> None:
    from sport.types import Action, Candidate, Observation

    blobs = BlobStore(tmp_path)
    own = blobs.put(b"\x89PNG own", "image_0.png", "image/png")
    own = own.model_copy(update={"caption": "a quiet street"})
    made = blobs.put(b"\x89PNG made", "plot.png", "image/png")
    seen = Observation(text="saved", images=(made,))
    candidates = [
        Candidate(action=Action(text=c, code=c), outcome=None, observation=seen) for c in "ab"
    ]
    task = Task(id="t", query="q", files=(own,))
    with FaultServer(says=lambda body: [best(1)]) as server:
        client = ChatClient(ServerSettings(url=server.url), "judge", "verifier")
        for images in (True, False):
            async with LLMVerifier(client, images=images) as verifier:
                await verifier.judge(task, [], candidates, 0)
    with_images, without = (r["messages"][1]["content"] for r in server.requests)
    assert [p["type"] for p in with_images] == ["image_url"] * 3 + ["text"]
    assert isinstance(without, str) and "plot.png" in without
    assert "image_0.png: a quiet street" in without
    assert "a quiet street" not in str(with_images), "who sees the picture needs nobody's words"


async def test_what_is_no_verdict_of_the_model(world: Any) -> None:
    with pytest.raises(RemoteError, match="401"):
        await judge(world("?", files=()), lambda body: [best(1)], refuses=(401, "no"))
    full = (400, "maximum context length is 100 tokens")
    verdict, _ = await judge(world("?", files=()), lambda body: [best(1)], refuses=full)
    assert verdict.best is None and "maximum context length" in verdict.reason
    verdict, _ = await judge(world("?", files=()), lambda body: [best(1)], refuses=(503, "busy"))
    assert verdict.best is None and "no answer could be had" in verdict.reason


def test_a_prompt_of_ones_own_must_show_the_candidates(tmp_path: Path) -> None:
    mine = tmp_path / "mine.md"
    mine.write_text("<!-- user -->\n{query} {form}")
    with pytest.raises(ValueError, match="{candidates}"):
        check_prompt(mine)
