"""Writes the fingerprints that are shipped of GTA's questions: give the folder of its data."""

import sys
from pathlib import Path

from sport.evals.contamination import SHIPPED, shipped_lines
from sport.evals.gta.data import load_items

questions = {item.id: item.query for item in load_items(Path(sys.argv[1]))}
(SHIPPED / "gta.txt").write_text("".join(f"{line}\n" for line in shipped_lines(questions)))
