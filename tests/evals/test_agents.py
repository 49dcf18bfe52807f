"""`sport eval` with every agent, over scripted controllers and over the embedded one."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sport.agents.base import schema
from sport.agents.formats import read_answer, read_json, read_tool_calls
from sport.agents.native import native_wire
from sport.cli import app
from sport.remote.wire import read_reply
from sport.store import Run
from sport.tools.base import Tool
from sport.types import Action, Message

HERE = Path(__file__).parent
AGENTS = ("code", "json", "toolcall", "smolagents", "no-tools")
SMALL = ("-o", "evaluation.test=6", "--limit", "6")


def sport(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert "Traceback" not in result.output
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 1 and "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_over_a_scripted_controller(agent: str, tmp_path: Path) -> None:
    if agent == "smolagents":
        pytest.importorskip("smolagents")
    policy = f"{HERE / 'scripted_agents.py'}:{agent.replace('-', '_')}"
    out = tmp_path / "run"
    sport("eval", "pocket", "--policy", policy, "--agent", agent, *SMALL, "--out", out)
    run = Run.open(out)
    [row] = run.metrics()
    assert (row["agent"], row["policy"], row["samples"]) == (agent, f"knowing-{agent}", 1)
    assert (row["right"], row["n"]) == (4, 6)
    assert row["code_exec"] == 1.0
    trajectories = list(run.evaluation(0, "test"))
    assert [t.end for t in trajectories] == ["finished"] * 6
    searched = () if agent == "no-tools" else ("ask_search_agent",)
    assert all(t.tools == searched for t in trajectories), "calls reach the tools"
    if agent != "no-tools":
        assert all("tea" in t.steps[0].winner.observation.text for t in trajectories)
    scores = [json.loads(line) for line in scores_file(run).read_text().splitlines()]
    assert [s["reason"] != "" for s in scores] == [False, False, True] * 2
    assert sum(row["wrong"].values()) == 2


def scores_file(run: Run) -> Path:
    return run.evaluation_file(0, "test").with_suffix(".scores.jsonl")


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_over_the_embedded_controller(agent: str, tmp_path: Path) -> None:
    if agent == "smolagents":
        pytest.importorskip("smolagents")
    out = tmp_path / "run"
    sport(
        "eval", "pocket", "--policy", "pocket", "--agent", agent, "-o", "evaluation.test=4",
        "--limit", "4", "-o", "explore.max_steps=2", "-o", "policy.threads=1", "--out", out,
    )  # fmt: skip
    [row] = Run.open(out).metrics()
    assert (row["agent"], row["policy"], row["n"]) == (agent, "pocket", 4)
    ends = {t.end for t in Run.open(out).evaluation(0, "test") if not t.steps}
    assert ends <= {"context_full"}, "a prompt that does not fit it ends so, and is counted"
    assert sum(row["ends"].values()) == 4
    if agent in ("code", "smolagents", "no-tools"):
        assert not ends, "the controller acts"


def test_d6_an_evaluation_is_a_single_sample_unless_it_says_so(tmp_path: Path) -> None:
    """A recipe with five candidates a step and a verifier is still evaluated by one sample."""
    policy = f"{HERE / 'scripted_agents.py'}:code"
    recipe = tmp_path / "five.toml"
    shutil.copy(HERE / "scripted_agents.py", tmp_path)
    recipe.write_text(
        "[synthesis]\n[sampling]\ntemperatures = [0.7, 1.2, 1.2, 1.2, 1.2]\n"
        '[verifier]\nkind = "rubric"\n[policy]\nkind = "script"\nprompt = "code_agent"\n'
        'model = "scripted_agents:code"\n'
    )
    single, best = tmp_path / "single", tmp_path / "best"
    sport("eval", "pocket", "--policy", recipe, *SMALL, "--out", single)
    more = ("--best-of", 3, "--verifier", "rubric")
    sport("eval", "pocket", "--policy", policy, *more, *SMALL, "--out", best)
    [one], [three] = Run.open(single).metrics(), Run.open(best).metrics()
    assert (one["samples"], one["verifier"]) == (1, "")
    assert (three["samples"], three["verifier"]) == (3, "rubric")
    for run, split, n in ((single, None, 1), (best, "best-of-3", 3)):
        for trajectory in Run.open(run).evaluation(0, "test", split):
            assert all(len(step.candidates) == n for step in trajectory.steps)
            assert {c.action.temperature for s in trajectory.steps for c in s.candidates} == (
                {0.0} if n == 1 else {0.7, 1.2}
            )
    table = sport("report", single, best, "--out", tmp_path / "table")
    lines = [line for line in table.splitlines() if line.startswith("| measured")]
    assert len(lines) == 2, "they are never one line"
    assert "best of 3 by rubric" in lines[1] and "best of" not in lines[0]


def test_best_of_n_needs_a_verifier(tmp_path: Path) -> None:
    message = refused("eval", "pocket", "--best-of", 5, "--out", tmp_path / "run")
    assert "needs a --verifier" in message


def test_what_cannot_be_evaluated_says_so(tmp_path: Path) -> None:
    no_policy = tmp_path / "mine.py"
    no_policy.write_text("policy = 3\n")
    for i, (arguments, message) in enumerate(
        [
            (("gta",), "--policy"),
            (("gta", "--like", "hf-gpt4o"), "did you mean 'hf-gpt-4o'"),
            (("gta", "--policy", "gold"), "--data"),
            (("gta", "--policy", "gold", "--data", tmp_path), "GTA's questions are not there"),
            (("pocket", "--agent", "cod"), "agent"),
            (("pocket", "--policy", f"{no_policy}:policy"), "is a int"),
            (("pocket", "--policy", f"{no_policy}:polic"), "has no 'polic'"),
            (("pocket", "--policy", "gold"), "no recorded gold chains"),
        ]
    ):
        out = ("-o", "evaluation.test=2", "--out", tmp_path / str(i))
        assert message in refused("eval", *arguments, *out)


def act(text: str) -> Action:
    return Action(text=text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('Thought: x\nAction: {"tool": "ocr", "arguments": {"image_path": "a.png"}}<end_action>',
         "print(ocr(image_path='a.png'))"),
        ('{"tool": "final_answer", "arguments": {"answer": null}}', "final_answer(answer=None)"),
        ('{"tool": "ocr", "arguments": {"a b": 1}}', "print(ocr(**{'a b': 1}))"),
        ('{"tool": "ocr"} Observation: made up', "print(ocr())"),
        ("no call", None),
        ('{"tool": "ocr", "arguments": ', None),
        ('{"name": "ocr"}', None),
        ('{"tool": "__import__(\'os\').system", "arguments": {}}', None),
        ('{"tool": "ocr", "arguments": [1]}', None),
    ],
)  # fmt: skip
def test_json_actions(text: str, code: str | None) -> None:
    read = read_json(act(text))
    assert read.code == code and (read.error is None) == (code is not None)
    assert "made up" not in read.text, "what a model makes up after its call is cut off"


def test_tool_calls() -> None:
    one = '<tool_call>{"name": "ocr", "arguments": {"image_path": "a.png"}}</tool_call>'
    assert read_tool_calls(act(f"I look. {one}")).code == "print(ocr(image_path='a.png'))"
    assert read_tool_calls(act(one * 2)).code.count("print") == 2
    assert read_tool_calls(act("It's 4.")).code == 'final_answer("It\'s 4.")'
    assert read_tool_calls(act("<tool_call>{oops</tool_call>")).code is None
    assert read_answer(act(" 4 ")).code == "final_answer('4')"
    assert read_answer(Action(text="4 an", finish="length")).code is None


def test_a_servers_own_function_calling() -> None:
    """The text of the agent's chat is taken apart for a server, and its answer put together."""
    call = '<tool_call>{"name": "ocr", "arguments": {"image_path": "a.png"}}</tool_call>'
    tool = Tool(reads, name="ocr")
    system = f"x <tools>\n{json.dumps(schema(tool))}\n</tools> y"
    messages, keys = native_wire(
        [
            Message(role="system", text=system),
            Message(role="user", text="What does it say?"),
            Message(role="assistant", text=f"I look. {call}<end_action>"),
            Message(role="user", text="Observation:\nplums 3.40"),
        ]
    )
    [told] = keys["tools"]
    assert told["function"]["parameters"]["properties"]["image_path"]["type"] == "string"
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool"]
    made = messages[2]["tool_calls"][0]
    assert json.loads(made["function"]["arguments"]) == {"image_path": "a.png"}
    assert (messages[3]["tool_call_id"], messages[3]["content"]) == (made["id"], "plums 3.40")
    answer = {"content": None, "tool_calls": [made]}
    reply = read_reply({"choices": [{"message": answer, "finish_reason": "tool_calls"}]})
    assert read_tool_calls(act(reply.choices[0].text)).code == "print(ocr(image_path='a.png'))"


def reads(image_path: Path) -> str:
    """Reads a text."""
    return image_path.read_text()
