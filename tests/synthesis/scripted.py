"""A language model that is played: what it answers at each stage of synthesis, by what it is asked.

Bodies of requests go in, texts come out; a server on the loopback stands around it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Body = dict[str, Any]
STAGES = {
    "You invent tasks": "queries",
    "You say which files": "needs",
    "You check whether a task": "check",
    "You write Python code": "make",
}


def text_of(body: Body, turn: int = 0) -> str:
    """The text of a user's turn."""
    content = [m["content"] for m in body["messages"] if m["role"] == "user"][turn]
    return content if isinstance(content, str) else content[-1]["text"]


def stage_of(body: Body) -> str:
    """Which stage asks."""
    system = body["messages"][0]["content"]
    [stage] = [stage for words, stage in STAGES.items() if system.startswith(words)]
    examples = "Tasks of the kind that is wanted" in text_of(body)
    return "seeds" if stage == "queries" and not examples else stage


def query_of(body: Body) -> str:
    """The query that a request is about."""
    found = re.search(r"^Task: (.*)$", text_of(body), re.M)
    assert found is not None
    return found[1]


def attempt(body: Body) -> int:
    """How often it was asked before in the same chat."""
    return sum(m["role"] == "assistant" for m in body["messages"])


def pictures(body: Body) -> int:
    """How many pictures it is shown."""
    return json.dumps(body["messages"]).count('"image_url"') // 2


def tasks(entries: Sequence[tuple[str, Sequence[str]]]) -> str:
    """An answer to a request for queries."""
    return json.dumps({"tasks": [{"query": q, "tools": list(tools)} for q, tools in entries]})


def needs(*files: tuple[str, str], web: str = "") -> str:
    """An answer to a request for needs."""
    found = [{"kind": kind, "description": description} for kind, description in files]
    return "So:\n```json\n" + json.dumps({"files": found, "web": web}) + "\n```"


def verdict(
    solvable: bool = True, files: bool = True, tools: bool = True, rewrite: str = ""
) -> str:
    """An answer to a check."""
    return json.dumps(
        {
            "reason": "as it is",
            "solvable": solvable,
            "needs_files": files,
            "needs_tools": tools,
            "rewrite": rewrite,
        }
    )


def seeds_file(queries: Mapping[str, Sequence[str]]) -> str:
    """The lines of a file of seeds."""
    return "".join(json.dumps({"query": q, "tools": list(t)}) + "\n" for q, t in queries.items())


RECIPE = """
rounds = 1
tools = ["ocr", "objectlocation"]
[synthesis]
kind = "llm"
tasks_per_round = {tasks}
library = "library"
seeds = "seeds.jsonl"
{more}
[synthesis.server]
url = "{url}"
model = "writer"
attempts = 2
backoff_s = 0.01
"""

SEEDS = {
    "What does the sign in the picture say?": ["ocr"],
    "Where is the cat in the photo?": ["objectlocation"],
    "Which of the two receipts is the dearer one, and by how much?": ["ocr"],
}
