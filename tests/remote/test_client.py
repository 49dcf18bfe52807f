"""The client against a real server on the loopback that fails on purpose."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from fault_server import FAULTS, FaultServer, expected
from sport.policy.base import ContextFull
from sport.remote.client import ChatClient, Choices
from sport.remote.config import BudgetSettings, Price, ServerSettings
from sport.remote.faults import RemoteError, wait_of
from sport.remote.ledger import Account, BudgetSpent, Ledger, Usage, of_models, read_usage

MESSAGES = [{"role": "user", "content": "How many?"}]


def settings(server: FaultServer, **changes: object) -> ServerSettings:
    quick = {"url": server.url, "backoff_s": 0.01, "attempt_timeout_s": 0.5, "attempts": 12}
    return ServerSettings.model_validate({**quick, **changes})


def ask(
    server: FaultServer, times: int = 1, n: int = 1, options: dict[str, object] | None = None,
    ledger: Ledger | None = None, **changes: object,
) -> list[Choices]:  # fmt: skip
    async def main() -> list[Choices]:
        async with ChatClient(settings(server, **changes), "base", "policy", ledger) as client:
            asked = [client.choices(MESSAGES, n, **(options or {})) for _ in range(times)]
            return await asyncio.gather(*asked)

    return asyncio.run(main())


def usage(ledger: Ledger) -> Usage:
    [(_, counts)] = of_models(ledger._pending)
    return counts


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_asked_again_and_counted(fault: str) -> None:
    ledger = Ledger()
    with FaultServer(rate=0.4, faults=(fault,), seed=3) as server:
        # A first whole answer, so that a short one is not read as "this server ignores n".
        found = ask(server, times=12, n=3, ledger=ledger, concurrency=4)
    assert server.injected[fault] > 0
    assert [len(c.had) for c in found] == [3] * 12 and not any(c.missing for c in found)
    counts = usage(ledger)
    assert counts.faults == expected(server.injected)
    assert counts.requests == len(server.requests)
    assert counts.missing == 0


def test_only_what_is_lacking_is_asked_for_again() -> None:
    with FaultServer(rate=1.0, faults=("fewer choices",)) as server:
        ask(server, n=4, options={"seed": 7})
    assert [r["n"] for r in server.requests][:4] == [4, 1, 1, 1]
    with FaultServer(rate=1.0, faults=("fewer choices",)) as server:
        [found] = ask(server, n=4, options={"seed": 7}, attempts=2)
    assert len(found.had) == 3 and len(found.missing) == 1
    assert "0 choices where 1 were asked for" in found.missing[0]
    seeds = [r["seed"] for r in server.requests]
    assert len(set(seeds)) == len(seeds), "the same seed would give the same choice again"


def test_a_server_that_ignores_n_is_asked_one_by_one() -> None:
    with FaultServer(honours_n=False, latency_s=0.1) as server:
        started = time.monotonic()
        found = ask(server, times=5, n=5, options={"seed": 1})
        took = time.monotonic() - started
    assert [len(c.had) for c in found] == [5] * 5
    assert {r["n"] for r in server.requests[-10:]} == {1}
    assert took < 1.5, "the single requests go out together"


def test_a_pause_that_the_server_asks_for_is_kept() -> None:
    with FaultServer(rate=1.0, faults=("429 with Retry-After",)) as server:
        started = time.monotonic()
        [found] = ask(server, attempts=4, backoff_s=0.001)
        took = time.monotonic() - started
    assert found.missing and 0.15 <= took < 2
    assert wait_of("2") == 2 and wait_of("soon") is None
    assert wait_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_pauses_grow_and_are_jittered() -> None:
    with FaultServer(rate=1.0, faults=("503",)) as server:
        started = time.monotonic()
        ask(server, attempts=5, backoff_s=0.05)
        took = time.monotonic() - started
    assert 0.5 * 0.05 * 15 <= took < 0.05 * 15 + 1


def test_time_bounds_all_attempts_together() -> None:
    with FaultServer(rate=1.0, faults=("stall",)) as server:
        started = time.monotonic()
        [found] = ask(server, n=2, attempts=50, attempt_timeout_s=0.2, total_timeout_s=0.7)
        took = time.monotonic() - started
    assert len(found.missing) == 2 and "gave up after 0.7 s" in found.missing[0]
    assert took < 1.2


@pytest.mark.parametrize(
    ("status", "mend"),
    [(400, "omit"), (401, "MY_KEY"), (403, "MY_KEY"), (404, "/v1"), (301, "new address")],
)
def test_what_no_attempt_would_change_fails_at_once(
    status: int, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-planted")
    with FaultServer(refuses=(status, "you said sk-planted, which is wrong")) as server:
        with pytest.raises(RemoteError) as caught:
            ask(server, key_env="MY_KEY")
    assert len(server.requests) == 1
    message = str(caught.value)
    assert str(status) in message and server.url in message and mend in message
    assert "sk-planted" not in message and "[key]" in message
    assert server.requests[0]["headers"]["Authorization"] == "Bearer sk-planted"


def test_a_prompt_that_is_too_long_is_no_error() -> None:
    said = "This model's maximum context length is 4096 tokens. However, you requested 5000."
    with FaultServer(refuses=(400, said)) as server, pytest.raises(ContextFull, match="4096"):
        ask(server)


def test_an_outage_stops_the_run() -> None:
    with FaultServer(rate=1.0, faults=("503",)) as server:
        with pytest.raises(RemoteError, match="is down: the last 5 requests"):
            ask(server, times=9, attempts=1, outage=5)


def test_keys_come_from_a_variable_or_the_file_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer() as server:
        with pytest.raises(RemoteError, match="MY_KEY is not set.*MY_KEY_FILE"):
            ask(server, key_env="MY_KEY")
        (tmp_path / "key").write_text("from-a-file\n")
        monkeypatch.setenv("MY_KEY_FILE", str(tmp_path / "key"))
        ask(server, key_env="MY_KEY")
    assert server.requests[0]["headers"]["Authorization"] == "Bearer from-a-file"


def test_a_recipe_cannot_hold_a_key() -> None:
    with pytest.raises(ValueError, match="key_env"):
        ServerSettings(url="http://127.0.0.1/v1", extra={"api_key": "sk-1"})
    with pytest.raises(ValueError, match="key_env"):
        ServerSettings(url="http://user:secret@127.0.0.1/v1")


def test_keys_of_a_request_are_added_and_left_out() -> None:
    with FaultServer() as server:
        ask(server, options={"seed": 1, "top_p": 0.8}, extra={"top_k": 5}, omit=["seed"])
    assert server.requests[0]["top_k"] == 5 and "seed" not in server.requests[0]
    assert server.requests[0]["top_p"] == 0.8


def test_costs_are_booked_by_stage_round_and_model(tmp_path: Path) -> None:
    file = tmp_path / "usage.jsonl"
    ledger = Ledger(file)
    price = Price(input=2.0, output=10.0)
    with FaultServer() as server:
        for stage in ("evaluate", "explore"):
            with ledger.at(stage, 1):
                ask(server, times=2, n=3, ledger=ledger, price=price)
    sums = dict(of_models(read_usage(file)))
    assert list(sums) == [Account(s, 1, "policy", "base") for s in ("evaluate", "explore")]
    counts = sums[Account("explore", 1, "policy", "base")]
    assert (counts.requests, counts.tokens_in, counts.tokens_out) == (2, 200, 60)
    assert counts.cost == pytest.approx((200 * 2 + 60 * 10) / 1e6)
    assert read_usage(file)[Account("explore", 1)].seconds > 0


def test_tokens_that_a_server_does_not_say_are_counted_as_unknown() -> None:
    ledger = Ledger()
    with FaultServer(usage=False) as server:
        ask(server, times=2, ledger=ledger)
    assert (usage(ledger).unmetered, usage(ledger).tokens_in) == (2, 0)


@pytest.mark.parametrize(
    ("budget", "what"),
    [({"money": 1e-4}, "money"), ({"tokens": 200}, "tokens"), ({"hours": 1e-9}, "hours")],
)
def test_a_budget_counts_what_earlier_sessions_spent(
    tmp_path: Path, budget: dict[str, float], what: str
) -> None:
    file = tmp_path / "usage.jsonl"
    first = Ledger(file)
    with FaultServer() as server, first.at("explore", 1):
        ask(server, times=2, ledger=first, price=Price(input=1, output=1))
    with pytest.raises(BudgetSpent, match=f"{what}.*-o budget.{what}="):
        Ledger(file, BudgetSettings.model_validate(budget)).check()
    Ledger(file, BudgetSettings(money=1, tokens=1000, hours=1)).check()


def test_faults_are_counters() -> None:
    total = Usage(faults=Counter(a=1))
    total.add(Usage(faults=Counter(a=1, b=2), requests=3))
    assert total.faults == {"a": 2, "b": 2} and total.requests == 3
