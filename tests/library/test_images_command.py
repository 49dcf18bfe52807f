"""`sport images`: what a user types and sees."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from sport.cli import app


def sport(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["images", *(str(a) for a in arguments)])


def test_add_search_and_stats(photos, tmp_path, model) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "broken.txt").write_text("nothing")
    folder = tmp_path / "library"
    added = sport("add", photos, "--library", folder, "--embedder", model)
    assert added.exit_code == 0, added.output
    assert (
        "9 added, 0 in already, 0 with another caption, 0 captions written, 9 embedded"
        in added.output
    )
    assert "broken.jpg" in added.output and "not a picture" in added.output

    found = sport("search", "a cat", "--library", folder, "-n", "1")
    assert found.exit_code == 0 and "chelsea.png" in found.output and "tabby" in found.output
    options = ("--library", folder, "--embedder", model, "--min-similarity", "0.3")
    found = sport("search", "stars of the universe", *options)
    assert found.output.splitlines()[0].split()[2].endswith("hubble_deep_field.jpg")
    assert "No picture fits." in sport("search", "tax law of Peru", *options).output

    held = sport("stats", "--library", folder)
    assert held.exit_code == 0
    for text in ("9, 0 of them near-duplicates", "9 unknown", "9 by bert-"):
        assert text in held.output


def test_mistakes_get_one_message(photos, tmp_path) -> None:
    for arguments, words in (
        (("search", "cat", "--library", tmp_path / "none"), "sport images add DIR"),
        (("add", tmp_path / "nowhere", "--library", tmp_path / "none"), "does not exist"),
        (("add", photos, "--library", tmp_path / "l", "--embedder", photos), "no config.json"),
    ):
        result = sport(*arguments)
        assert result.exit_code == 1 and "Traceback" not in result.output
        assert words in " ".join(result.output.split())
    assert not (tmp_path / "none").exists()


def test_the_command_line_does_not_load_the_database() -> None:
    code = "import sys, sport.cli, sport.library; sys.exit('lancedb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
