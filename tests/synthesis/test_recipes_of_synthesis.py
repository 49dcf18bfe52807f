"""What is wrong with a recipe, its seeds or its library is told before anything is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fault_server import FaultServer
from sport.assemble import load_recipe_tools
from sport.cli import app
from sport.recipes import load_recipe
from sport.store import Run
from sport.synthesis.config import LLMSettings
from sport.synthesis.folder import read_drafts
from synthesis.scripted import Body, needs, query_of, stage_of, tasks, text_of, verdict

Recipe = Callable[..., Path]


def told(*arguments: str | Path) -> str:
    """The error of a command that must fail, in one line."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})
    assert done.exit_code == 1, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('seeds = "seeds.jsonl"', ""), 'give either seeds = "seeds.jsonl" or from_tools = true'),
        (('seeds = "seeds.jsonl"', 'seeds = "seeds.jsonl"\nfrom_tools = true'), "either seeds"),
        (('model = "writer"', ""), "synthesis.server: `model` is missing"),
        (('library = "library"', "make_files = false"), 'give library = "FOLDER"'),
        (('library = "library"', 'embedder = "x"'), "an embedder needs a library"),
        (('kind = "llm"', 'kind = "captions"'), "unknown key 'synthesis.seeds'"),
        (('kind = "llm"', 'kind = "lmm"'), 'give kind = "grammar" or kind = "captions"'),
        (("tasks_per_round", "task_per_round"), "Did you mean 'tasks_per_round'?"),
        (("attempts", "atempts"), "Did you mean 'attempts'?"),
        (('seeds = "seeds.jsonl"', 'seeds = "sed.jsonl"'), "sed.jsonl does not exist"),
        (('library = "library"', 'library = "no"'), "holds no library of pictures"),
    ],
)
def test_a_mistake_in_a_recipe(
    place: Path, recipe: Recipe, change: tuple[str, str], says: str
) -> None:
    with FaultServer() as server:
        file = recipe(server.url)
        file.write_text(file.read_text().replace(*change))
        assert says in told("synth", file, "--out", place / "run")
        assert not server.requests


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"query": "What is this?", "tools": ["telepathy"]}', "tool 'telepathy' that is none"),
        ('{"question": "What is this?"}', "Did you mean `query`?"),
        ('{"query": "Where is it?", "files": ["no.png"]}', "'no.png' does not exist"),
        ("", "holds no task"),
    ],
)
def test_a_mistake_in_the_seeds(place: Path, recipe: Recipe, line: str, says: str) -> None:
    (place / "seeds.jsonl").write_text(line + "\n")
    with FaultServer() as server:
        assert says in told("synth", recipe(server.url), "--out", place / "run")
        assert not server.requests


def test_seeds_out_of_a_benchmark_are_an_error(place: Path, recipe: Recipe) -> None:
    stolen = "How many of the nine made-up birds sit on the lower of the two wires?"
    (place / "gaia").mkdir()
    line = f'{{"task_id": "g1", "Question": "{stolen}", "Level": 1, "Final answer": "3"}}\n'
    (place / "gaia" / "metadata.jsonl").write_text(line)
    (place / "seeds.jsonl").write_text(f'{{"query": "{stolen}"}}\n')
    with FaultServer() as server:
        file = recipe(server.url, more='[evaluation]\nkeep_apart = ["gaia"]')
        assert "is gaia g1" in told("synth", file, "--out", place / "run")
        assert not server.requests


def test_nothing_kept_is_an_error_that_says_why(place: Path, recipe: Recipe) -> None:
    def refuses(body: Body) -> list[str]:
        return ["I am sorry, but I cannot invent anything."]

    with FaultServer(says=refuses) as server:
        file = recipe(server.url, more="waves = 2")
        assert "no task could be made" in (said := told("synth", file, "--out", place / "run"))
    assert "4 unusable answer on 10 queries" in said
    assert len(read_drafts(Run.open(place / "run"), "round-1")) == 4


def test_a_server_that_is_down_loses_nothing(place: Path, recipe: Recipe) -> None:
    with FaultServer(says=few) as server:
        url = server.url
        file = recipe(url, 2, "make_files = false\n[evaluation]\nheld_out = 0.0001")
        server.refuses = (401, "no")
        assert "another key" in told("synth", file, "--out", place / "run")
        server.refuses = None
        file.write_text(file.read_text().replace("attempts = 2", "attempts = 3"))
        again = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")])
    assert again.exit_code == 0 and "round 1 has 2 tasks" in again.output


def few(body: Body) -> list[str]:
    """Two queries over the library's photographs."""
    stage = stage_of(body)
    if stage == "seeds":
        return [tasks([(f"Where is thing {i} of my photo?", ["ocr"]) for i in range(3)])]
    if stage == "queries":
        found = [
            ("Where exactly is the tabby cat?", ["ocr"]),
            ("How tall may the rocket be?", ["ocr"]),
        ]
        return [tasks(found)]
    if stage == "needs":
        cat = "cat" in query_of(body)
        return [needs(("photo", "a tabby cat" if cat else "a rocket on its launch pad"))]
    return [verdict()]


def test_seeds_can_be_drafted_from_the_tools(place: Path, recipe: Recipe) -> None:
    with FaultServer(says=few) as server:
        file = recipe(server.url, 2, "make_files = false\n[evaluation]\nheld_out = 0.0001")
        file.write_text(file.read_text().replace('seeds = "seeds.jsonl"\n', ""))
        arguments = ["synth", str(file), "--from-tools", "--out", str(place / "run")]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        asked = [stage_of(r) for r in server.requests]
        assert asked.count("seeds") == 1
        shown = next(text_of(r) for r in server.requests if stage_of(r) == "queries")
        assert "- Where is thing 0 of my photo? (ocr)" in shown


def test_what_is_held_out_shares_no_picture_and_no_query(place: Path, recipe: Recipe) -> None:
    """By the split of the library, whatever was asked first."""
    (place / "script.py").write_text(
        "from sport.policy.scripted import ScriptedPolicy, action\n"
        "policy = ScriptedPolicy([action('final_answer(1)')])\n"
    )
    with FaultServer(says=any_picture) as server:
        more = "make_files = false\nmax_uses = 9\nmin_words = 0.0\n[evaluation]\nheld_out = 0.4"
        file = recipe(
            server.url, 4, f'{more}\n[policy]\nkind = "script"\nmodel = "script:policy"\n'
        )
        done = CliRunner().invoke(
            app, ["run", str(file), "--out", str(place / "run"), "-o", "rounds=0"]
        )
        assert done.exit_code == 0, done.output
        explored = CliRunner().invoke(
            app, ["synth", str(file), "--out", str(place / "run"), "-o", "rounds=0"]
        )
        assert explored.exit_code == 0, explored.output
    run = Run.open(place / "run")
    held, train = run.tasks("held-out"), run.tasks()
    assert len(held) == 2 and len(train) == 4
    assert {f.sha256 for t in held for f in t.files}.isdisjoint(
        f.sha256 for t in train for f in t.files
    )
    assert {t.query for t in held}.isdisjoint(t.query for t in train)
    assert "near-duplicate" in {d.fate for d in read_drafts(run, "round-1")}


def any_picture(body: Body) -> list[str]:
    """Always the same ten queries."""
    stage = stage_of(body)
    things = "lamp bridge violin kettle anchor ladder basket window candle tower".split()
    if stage == "queries":
        return [tasks([(f"Please point at the {thing}", ["objectlocation"]) for thing in things])]
    if stage == "needs":
        return [needs(("photo", "cat rocket astronaut coffee galaxies coins page temple dahlia"))]
    return [verdict()]


def test_a_spent_budget_stops_it_and_what_was_asked_is_kept(place: Path, recipe: Recipe) -> None:
    with FaultServer(says=any_picture, latency_s=0.05) as server:
        file = recipe(server.url, 7, "make_files = false\nmax_uses = 9\nmin_words = 0.0")
        arguments = ["synth", str(file), "--out", str(place / "run"), "-o", "budget.tokens=500"]
        stopped = CliRunner().invoke(app, arguments)
        assert stopped.exit_code == 3 and "The budget is spent" in stopped.output
        asked = len(server.requests)
        assert 1 < asked < 20
        arguments[-1] = "budget.tokens=100000"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        bodies = [{k: v for k, v in r.items() if k != "headers"} for r in server.requests]
    assert all(body not in bodies[:asked] for body in bodies[asked:]), "an answer is paid twice"


def test_the_recipe_that_is_shipped_is_whole() -> None:
    recipe = load_recipe(str(Path(__file__).parents[2] / "recipes" / "own-images.toml"))
    assert [*load_recipe_tools(recipe)] == [*recipe.tools]
    assert isinstance(recipe.synthesis, LLMSettings) and recipe.synthesis.finds


def test_pictures_without_captions_get_them_from_the_model_that_checks(
    place: Path, recipe: Recipe
) -> None:
    for caption in (place / "photos").glob("*.txt"):
        caption.unlink()

    def looks(body: Body) -> list[str]:
        if len(body["messages"]) == 1:
            return ["A tabby cat next to a rocket on its launch pad"]
        return few(body)

    with FaultServer(says=few) as writer, FaultServer(says=looks) as looker:
        more = "make_files = false\n[synthesis.checker]\n"
        more += f'url = "{looker.url}"\nmodel = "looker"\n'
        file = recipe(writer.url, 2, f"{more}[evaluation]\nheld_out = 0.0001")
        text = file.read_text().replace('library = "library"', 'pictures = ["photos"]')
        file.write_text(text)
        done = CliRunner().invoke(app, ["synth", str(file), "--out", str(place / "run")])
        assert done.exit_code == 0, done.output
    assert "9 captions written" in done.output
    assert sum(len(r["messages"]) == 1 for r in looker.requests) == 9
    [cat, _] = Run.open(place / "run").tasks()
    assert cat.files[0].caption == "A tabby cat next to a rocket on its launch pad"
