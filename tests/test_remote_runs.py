"""Whole runs whose controller stands behind a server: faults, budgets, secrets, adapters."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fault_server import FaultServer, expected
from sport.cli import app
from sport.policy.scripted import action
from sport.remote.ledger import of_models
from sport.store import Run
from sport.types import END_OF_ACTION

RECIPE = """
rounds = 1
[synthesis]
tasks_per_round = {tasks}
[policy]
kind = "chat"
model = "base"
[policy.server]
url = "{url}"
concurrency = 16
attempts = 10
backoff_s = 0.02
attempt_timeout_s = 4
price = {{ input = 1.0, output = 2.0 }}
[explore]
max_steps = 3
[evaluation]
test = 4
dev = 2
controls = []
"""
SECRET = "sk-planted-0123456789"


def says(body: dict[str, Any]) -> Sequence[str]:
    """Looks at the first step, answers at the second; without the end marker, as servers do."""
    step = sum(m["role"] == "assistant" for m in body["messages"])
    codes = ["print(1)", "print(2)", "1 / 0", "x = 3"] if step == 0 else ["final_answer(2)"]
    return [action(code).removesuffix(END_OF_ACTION) for code in codes]


def recipe(folder: Path, server: FaultServer, tasks: int = 6) -> Path:
    file = folder / "remote.toml"
    file.write_text(RECIPE.format(url=server.url, tasks=tasks))
    return file


def sport(command: str, file: Path, *more: str) -> Result:
    out = file.parent / "run"
    arguments = [command, str(file), "--out", str(out)] if command != "report" else [command, out]
    return CliRunner().invoke(app, [*map(str, arguments), *more])


def test_no_trajectory_is_lost_where_three_in_ten_requests_fail(tmp_path: Path) -> None:
    with FaultServer(says=says, rate=0.3, stall_s=6.0, seed=5) as server:
        file = recipe(tmp_path, server, tasks=100)
        done = sport("explore", file)
        assert done.exit_code == 0, done.output
    run = Run.open(tmp_path / "run")
    trajectories = list(run.trajectories(1))
    assert [t.task.id for t in trajectories] == [t.id for t in run.tasks(round=1)]
    assert {t.end for t in trajectories} == {"finished"}
    assert all(len(s.candidates) + len(s.missing) == 5 for t in trajectories for s in t.steps)
    assert len(server.injected) == 13, "every fault came up"
    [(account, counts)] = of_models(run.usage())
    assert (account.stage, account.role, account.model) == ("explore", "policy", "base")
    assert counts.faults == expected(server.injected)
    assert counts.requests == len(server.requests)
    assert sport("report", file).exit_code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    told = page[page.index("<h3>Faults: explore") :]
    told = told[: told.index("</ul>")]
    found = {kind: int(n) for n, kind in re.findall(r"<b>(\d+)</b> ([^<]+)", told)}
    assert found == dict(expected(server.injected))


def test_actions_are_whole_and_pictures_travel(tmp_path: Path) -> None:
    with FaultServer(says=says) as server:
        assert sport("explore", recipe(tmp_path, server, tasks=2)).exit_code == 0
    first = Run.open(tmp_path / "run").trajectories(1).__next__()
    texts = [c.action.text for c in first.steps[0].candidates]
    assert all(text.endswith(END_OF_ACTION) for text in texts)
    assert [c.action.temperature for c in first.steps[0].candidates] == [0.7, 1.2, 1.2, 1.2, 1.2]
    asked = [(r["n"], r["temperature"], r["top_p"], r["stop"]) for r in server.requests]
    assert Counter((n, t) for n, t, _, _ in asked) == {(1, 0.7): 4, (4, 1.2): 4}
    assert {p for _, _, p, _ in asked} == {0.8} and asked[0][3] == [END_OF_ACTION]
    parts = server.requests[0]["messages"][0]["content"]
    assert parts[0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert parts[-1]["type"] == "text"


def test_a_missing_candidate_is_recorded_and_the_step_goes_on(tmp_path: Path) -> None:
    with FaultServer(says=says, rate=1.0, faults=("fewer choices",)) as server:
        file = recipe(tmp_path, server, tasks=3)
        assert sport("explore", file, "-o", "policy.server.attempts=1").exit_code == 0
    trajectories = list(Run.open(tmp_path / "run").trajectories(1))
    # The request for one choice gives none, that for four gives three.
    assert all(len(s.candidates) == 3 for t in trajectories for s in t.steps)
    assert all(len(s.missing) == 2 for t in trajectories for s in t.steps)
    [(_, counts)] = of_models(Run.open(tmp_path / "run").usage())
    assert counts.missing == sum(len(s.missing) for t in trajectories for s in t.steps)


def test_a_step_without_any_candidate_ends_its_trajectory(tmp_path: Path) -> None:
    with FaultServer(says=says, rate=1.0, faults=("503",)) as server:
        file = recipe(tmp_path, server, tasks=3)
        assert sport("explore", file, "-o", "policy.server.attempts=1").exit_code == 0
    trajectories = list(Run.open(tmp_path / "run").trajectories(1))
    assert [(t.end, t.steps) for t in trajectories] == [("unavailable", ())] * 3
    assert "HTTP 503" in trajectories[0].detail


def test_an_outage_stops_the_run_and_leaves_its_tasks_owed(tmp_path: Path) -> None:
    with FaultServer(says=says, rate=1.0, faults=("503",)) as server:
        file = recipe(tmp_path, server, tasks=30)
        options = ("-o", "policy.server.attempts=1", "-o", "policy.server.outage=6")
        stopped = sport("explore", file, *options)
        assert stopped.exit_code == 1 and "is down" in stopped.output
        server.rate = 0.0
        assert sport("explore", file, *options).exit_code == 0
    ends = Counter(t.end for t in Run.open(tmp_path / "run").trajectories(1))
    assert ends["finished"] >= 24 and ends.total() == 30


def test_a_spent_budget_ends_at_a_trajectory_and_the_run_goes_on(tmp_path: Path) -> None:
    with FaultServer(says=says) as server:
        file = recipe(tmp_path, server, tasks=40)
        stopped = sport("explore", file, "-o", "budget.tokens=1500")
        assert stopped.exit_code == 3, stopped.output
        assert "1500 tokens" in " ".join(stopped.output.split())
        kept = (tmp_path / "run" / "trajectories.jsonl").read_bytes().splitlines()
        asked = len(server.requests)
        assert 0 < len(kept) < 40
        # Still spent: nothing is asked.
        assert sport("explore", file, "-o", "budget.tokens=1500").exit_code == 3
        assert len(server.requests) == asked
        assert sport("explore", file, "-o", "budget.tokens=10_000_000").exit_code == 0
    after = (tmp_path / "run" / "trajectories.jsonl").read_bytes().splitlines()
    ids = [json.loads(line)["task"]["id"] for line in after]
    assert ids == [t.id for t in Run.open(tmp_path / "run").tasks(round=1)]
    assert set(kept) <= set(after), "what was finished is kept as it was"
    [(_, counts)] = of_models(Run.open(tmp_path / "run").usage())
    assert counts.requests == len(server.requests)
    assert counts.cost == pytest.approx((counts.tokens_in + 2 * counts.tokens_out) / 1e6)


def test_money_needs_prices(tmp_path: Path) -> None:
    with FaultServer() as server:
        file = recipe(tmp_path, server)
        file.write_text(file.read_text().replace("price =", "# price ="))
        refused = sport("explore", file, "-o", "budget.money=1")
    assert refused.exit_code == 1 and "has no price" in refused.output


def test_a_key_is_in_no_file_line_page_or_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANTED_KEY", SECRET)
    outputs = []
    with FaultServer(says=lambda body: [action(f"print({SECRET!r}[:0])")], rate=0.5) as server:
        server.faults = ("reset", "500", "truncated", "empty")
        file = recipe(tmp_path, server, tasks=4)
        with_key = ("-o", "policy.server.key_env=PLANTED_KEY")
        server.refuses = (401, f"Incorrect API key provided: {SECRET}")
        outputs.append(sport("explore", file, *with_key).output)
        server.refuses = (503, f"no capacity for Bearer {SECRET}")
        outputs.append(sport("explore", file, *with_key, "-o", "policy.server.attempts=1").output)
        outputs.append(sport("report", file).output)
    assert all(r["headers"]["Authorization"].endswith(SECRET) for r in server.requests)
    assert "Incorrect API key provided: [key]" in " ".join(outputs[0].split())
    seen = "".join([*outputs, *capfd.readouterr()])
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {"config.toml", "run.log", "report.html", "usage.jsonl"} <= {p.name for p in files}
    assert SECRET not in seen
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []


def test_a_tuned_adapter_needs_a_server_that_loads_it(tmp_path: Path) -> None:
    with FaultServer(says=says) as server:
        file = recipe(tmp_path, server)
        refused = sport("eval", file, "-o", f"policy.adapter={tmp_path}")
        assert refused.exit_code == 1 and "load_adapters" in refused.output
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text("{}")
        options = ("-o", f"policy.adapter={adapter}", "-o", "policy.server.load_adapters=true")
        other = recipe(adapter, server)
        refused = sport("eval", other, *options)
        assert refused.exit_code == 1 and "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in refused.output


@pytest.mark.slow
def test_a_whole_round_loads_what_it_tuned_into_the_server(tmp_path: Path) -> None:
    import by_heart

    model = by_heart.save_model(tmp_path / "model")
    with FaultServer(says=says, lora=True) as server:
        file = recipe(tmp_path, server, tasks=8)
        options = ("-o", "policy.server.load_adapters=true", "-o", f"policy.model={model}",
                   "-o", "policy.server.model=base", "-o", "policy.threads=1",
                   "-o", "verifier.kind=random")  # fmt: skip
        done = sport("run", file, *options)
        assert done.exit_code == 0, done.output
    [loaded] = server.max_lora
    assert re.fullmatch(r"sport-r1-[0-9a-f]{8}", loaded["lora_name"])
    assert (Path(loaded["lora_path"]) / "adapter_config.json").is_file()
    run = Run.open(tmp_path / "run")
    assert {t.policy for t in run.evaluation(0, "test")} == {"model"}
    assert {t.policy for t in run.evaluation(1, "test")} == {"model+r1"}
    models = [r["model"] for r in server.requests]
    assert set(models) == {"base", loaded["lora_name"]} and models[-1] == loaded["lora_name"]
