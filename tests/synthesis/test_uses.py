"""How often one picture is used, over all rounds; what was dropped gives its picture back."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from fault_server import FaultServer
from sport.cli import app
from sport.store import Run
from sport.synthesis.folder import read_drafts
from synthesis.scripted import Body, needs, query_of, stage_of, tasks, verdict


def test_a_picture_is_used_as_often_as_is_allowed(place: Path, recipe: Callable[..., Path]) -> None:
    asked: list[str] = []

    def says(body: Body) -> list[str]:
        if stage_of(body) == "queries":
            found = [f"n{len(asked) + i} m{len(asked) + i}?" for i in range(3)]
            asked.extend(found)
            return [tasks([(query, ["ocr"]) for query in found])]
        if stage_of(body) == "needs":
            return [needs(("photo", "a smiling astronaut in an orange space suit"))]
        return [verdict(solvable=query_of(body) != asked[0])]

    more = "batch = 3\nmax_uses = 2\nmake_files = false\nwaves = 2\n[evaluation]\nheld_out = 0.0001"
    with FaultServer(says=says) as server:
        command = ["synth", str(recipe(server.url, 2, more)), "--out", str(place / "run")]
        assert CliRunner().invoke(app, command).exit_code == 0
        none_left = CliRunner().invoke(app, [*command, "--round", "2"])
    run = Run.open(place / "run")
    [two] = Counter(f.sha256 for task in run.tasks() for f in task.files).values()
    fates = [draft.fate for draft in read_drafts(run, "round-1")]
    far = "no picture close enough"
    assert two == 2 and fates == ["not solvable", "kept", far, "kept", far, far]
    assert none_left.exit_code == 1 and far in " ".join(none_left.output.split())
