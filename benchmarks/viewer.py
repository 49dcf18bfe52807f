"""How the viewer behaves with 1,000 and with 10,000 trajectories: times of pages, and memory.

    python benchmarks/viewer.py [--counts 1000 10000]

The trajectories are those of a run of `pocket-quick`, repeated under other task ids and with other
words in their queries. A server is started for each size and asked over loopback; every page is
asked for ten times, and the median and the slowest are printed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPEATS = 10
LIMITS = {"runs": 300, "run": 300, "first page of the list": 300, "trajectory": 300, "search": 500}
"""Milliseconds that a page may take with 10,000 trajectories."""
WORDS = ("amber", "birch", "cobalt", "dune", "ember", "fjord", "grove", "heron", "iris", "jade")


def grown(run: Path, folder: Path, count: int) -> Path:
    """A copy of a run whose one explored round has ``count`` trajectories."""
    made = folder / f"run-{count}"
    shutil.copytree(run, made, ignore=shutil.ignore_patterns("viewer.sqlite*", "adapters"))
    lines = (run / "trajectories.jsonl").read_text().splitlines()
    tasks = {t["id"]: t for t in map(json.loads, (run / "tasks.jsonl").read_text().splitlines())}
    with (made / "trajectories.jsonl").open("w") as out, (made / "tasks.jsonl").open("w") as golds:
        for number in range(count):
            trajectory = json.loads(lines[number % len(lines)])
            task = trajectory["task"]
            gold = tasks[task["id"]]
            name, words = f"{task['id']}-{number}", f"{WORDS[number % 10]} {number}"
            task |= {"id": name, "query": f"{task['query']} ({words})"}
            out.write(json.dumps(trajectory) + "\n")
            golds.write(json.dumps(gold | {"id": name}) + "\n")
    return made


def timed(port: int, path: str) -> tuple[float, str]:
    """Milliseconds that a page takes, and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    page = answer.read().decode()
    took = (time.perf_counter() - started) * 1000
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {page[:200]}")
    return took, page


def wait_until_read(port: int, name: str, count: int) -> float:
    """Seconds until all trajectories have been read."""
    started = time.perf_counter()
    words = f"{count:,} found"
    while True:
        try:
            page = timed(port, f"/r/{name}/trajectories?place=explore-1")[1]
        except ConnectionError:
            page = ""
        if words in page:
            return time.perf_counter() - started
        time.sleep(0.5)


def measured(run: Path, count: int) -> dict[str, str]:
    """The figures of one size."""
    command = [sys.executable, "-m", "sport", "view", str(run), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r":(\d+)/", line)
        if found is None:
            raise RuntimeError(f"the viewer did not start: {line}")
        port, name = int(found[1]), run.name
        reading = wait_until_read(port, name, count)
        timed(port, f"/r/{name}")  # the run's page has been gathered once
        key = re.findall(r"/t/([0-9a-f]{16})", timed(port, f"/r/{name}/trajectories")[1])[0]
        pages = {
            "runs": "/",
            "run": f"/r/{name}",
            "first page of the list": f"/r/{name}/trajectories",
            "trajectory": f"/r/{name}/t/{key}",
            "search": f"/r/{name}/trajectories?q=ember+cost",
        }
        figures = {"reading, s": f"{reading:.1f}"}
        for what, path in pages.items():
            times = [timed(port, path)[0] for _ in range(REPEATS)]
            figures[f"{what}, ms"] = f"{median(times):.0f} (slowest {max(times):.0f})"
        pages_held = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
        memory = pages_held * os.sysconf("SC_PAGE_SIZE") / 1e6
        figures["memory, MB"] = f"{memory:.0f}"
        size = sum(f.stat().st_size for f in run.glob("*.jsonl")) / 1e6
        figures["run's lines, MB"] = f"{size:.0f}"
        index = (run / "cache" / "viewer.sqlite").stat().st_size / 1e6
        return figures | {"index, MB": f"{index:.0f}"}
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--run", type=Path, help="a run of pocket-quick; made where left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sport-viewer-") as name:
        folder = Path(name)
        run = arguments.run
        if run is None:
            run = folder / "quick"
            command = [sys.executable, "-m", "sport", "run", "pocket-quick", "--out", str(run)]
            subprocess.run([*command, "--quiet"], check=True)
        columns = {n: measured(grown(run, folder, n), n) for n in arguments.counts}
    first = next(iter(columns.values()))
    print(f"{'trajectories':26}" + "".join(f"{n:>24,}" for n in columns))
    for what in first:
        print(f"{what:26}" + "".join(f"{c[what]:>24}" for c in columns.values()))
    print("limits, ms: " + ", ".join(f"{what} {limit}" for what, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
