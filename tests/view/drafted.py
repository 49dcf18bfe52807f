"""Tasks of a language model in a run made by hand: kept ones with files, and lost ones."""

import io

from PIL import Image

from sport.jsonl import write_whole
from sport.remote.ledger import Ledger, Meter
from sport.store import Run
from sport.synthesis.drafts import KEPT, SPARE, Check, Draft, Got, Need
from sport.synthesis.figures import figures_of
from sport.synthesis.mix import Mix, Results

KEPT_DRAFTS = 24
DROPPED = {"near-duplicate": 21, "not solvable": 1, "file not made: code failed": 1}
DOCUMENT = b"PK a table of sales"


def write_drafts(run: Run, name: str = "round-1", text: str = "") -> list[Draft]:
    """Writes what synthesis writes: drafts, figures, a mix and what servers were asked."""
    buffer = io.BytesIO()
    Image.new("RGB", (640, 360), "teal").save(buffer, "PNG")
    photo = run.blobs.put(buffer.getvalue(), "image_0.png", "image/png", f"cups{text}.jpg")
    table = run.blobs.put(DOCUMENT, f"table{text}.xlsx", "application/vnd.ms-excel")
    photo, table = (
        file.model_copy(update={"caption": f"{shows}{text}"})
        for file, shows in ((photo, "two cups"), (table, "sales by month"))
    )
    good = Check(query="q", solvable=True, needs_files=True, needs_tools=True, reason=f"fits{text}")
    bad = good.model_copy(update={"needs_tools": False, "rewrite": "better"})

    def draft(number: int, **more: object) -> Draft:
        query = f"How many cups number {number} are there? {text}"
        return Draft(id=f"{name}-{number:02d}", query=query, topic=f"cooking{text}", **more)

    drafts = [
        draft(
            i,
            tools=("ocr", "objectlocation"),
            needs=(Need(kind="photo", description="two cups on a table"),),
            files=(photo,),
            got=(Got(how="found", similarity=0.71),),
            checks=(good,),
            fate=KEPT,
        )
        for i in range(KEPT_DRAFTS - 1)
    ]
    both = {
        "needs": (Need(kind="spreadsheet", description=f"sales{text}"),),
        "files": (table,),
        "got": (Got(how="made"),),
        "tools": ("ocr",),
    }
    written = f"What does the table say? {text}"
    drafts.append(
        draft(
            90, **both, written=written, web=f"the rate of May{text}", checks=(bad, good), fate=KEPT
        )
    )
    drafts.append(draft(91, **both, checks=(good,), fate=SPARE))
    number = 100
    for fate, times in DROPPED.items():
        for _ in range(times):
            number += 1
            needs = (Need(kind="chart", description=f"a chart of rain{text}"),)
            drafts.append(
                draft(number, needs=needs, fate=f"{fate}{text}", detail=f"it was so{text}")
            )
    folder = run.path / "synthesis"
    figures = figures_of(drafts, KEPT_DRAFTS, ["Where is the cat?", "What does the sign say?"])
    mix = Mix(tools={f"ocr{text}": Results(solved=5, tasks=10)}) if name != "round-1" else Mix()
    write_whole(folder / f"{name}-mix.json", mix.model_dump_json())
    write_whole(folder / f"{name}-figures.json", figures.model_dump_json())
    lines = "".join(f"{one.model_dump_json()}\n" for one in drafts)
    write_whole(folder / f"{name}-drafts.jsonl", lines)
    round = int(name.removeprefix("round-")) if name.startswith("round-") else 0
    ledger = Ledger(run.path / "usage.jsonl")
    with ledger.at("synth", round):
        for role in ("synthesis", "synthesis check"):
            meter = Meter(ledger, role, f"writer{text}")
            meter.request()
            meter.tokens((2400, 1200))
    return drafts
