"""State: what a winner's world carries on, and what never reaches a sibling."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from sport.sandbox import ForkSandbox

# What a step makes, and what the next step finds; each tells True if it is as it was.
KINDS: dict[str, tuple[str, str]] = {
    "containers": ("a = {'x': [1, (2, 3)], 'y': {4}}; b = a['x']",
                   "a == {'x': [1, (2, 3)], 'y': {4}} and a['x'] is b"),
    "closure": ("def outer():\n    n = 1\n    def inner():\n        nonlocal n\n        n += 1\n"
                "        return n\n    return inner\nf = outer(); f()", "f() == 3"),
    "class and object": ("class A:\n    made = 0\n    def __init__(self): A.made += 1\na = A()",
                         "isinstance(a, A) and A.made == 1 and type(A()) is A"),
    "data class": ("import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\np = P(3)",
                   "__import__('pickle').loads(__import__('pickle').dumps(p)) == P(3)"),
    "enumeration": ("import enum\nC = enum.Enum('C', 'RED BLUE')\nc = C.BLUE", "c is C['BLUE']"),
    "generator": ("g = (i * i for i in range(10)); next(g); next(g)", "next(g) == 4"),
    "generator in a with": (
        "def lines():\n    with open('g.txt', 'w+') as f:\n        f.write('a\\nb\\n'); f.seek(0)\n"
        "        while line := f.readline(): yield line.strip()\ng = lines(); next(g)",
        "next(g) == 'b' and next(g, None) is None"),
    "coroutine": ("import types\n@types.coroutine\ndef wait(): return (yield 1)\n"
                  "async def work(): return await wait()\nc = work(); c.send(None)",
                  "(lambda: [None for _ in [0] if not c.close()])() == [None]"),
    "iterators": ("import itertools\nn = itertools.count(3); next(n)\nz = zip('ab', 'cd'); next(z)",
                  "next(n) == 4 and next(z) == ('b', 'd')"),
    "unlocked locks": ("import threading\nlock, again = threading.Lock(), threading.RLock()\n"
                       "with lock, again: pass",
                       "lock.acquire(timeout=1) and again.acquire(timeout=1)"),
    "event and queue": ("import threading, queue\ne = threading.Event(); e.set()\n"
                        "q = queue.Queue(); q.put(1)", "e.wait(1) and q.get(timeout=1) == 1"),
    "values of a thread": ("import threading\nlocal = threading.local(); local.x = 1",
                           "local.x == 1"),
    "context variable": ("import contextvars\nv = contextvars.ContextVar('v'); _ = v.set(5)",
                         "v.get() == 5"),
    "pattern and match": ("import re\nm = re.compile('a(b+)').search('xabbb')", "m[1] == 'bbb'"),
    "text in memory": ("import io\nt = io.StringIO('abc'); t.read(1)", "t.read() == 'bc'"),
    "numbers and dates": ("import datetime, decimal, fractions\n"
                          "d = datetime.datetime(2024, 2, 29)\n"
                          "e = decimal.Decimal('1.10'); f = fractions.Fraction(1, 3)",
                          "str(d)[:10] == '2024-02-29' and str(e + e) == '2.20' and 3 * f == 1"),
    "weak reference and cycle": ("import weakref\nclass N: pass\nn = N(); n.me = n\n"
                                 "w = weakref.ref(n)", "w() is n and n.me is n"),
    "cached function": ("import functools\ncalls = []\n@functools.lru_cache\ndef f(x):\n"
                        "    calls.append(x); return x\n_ = f(2)", "f(2) == 2 and calls == [2]"),
    "exception and its trace": ("try: 1 / 0\nexcept ZeroDivisionError as e: kept = e",
                                "kept.__traceback__.tb_lineno == 1"),
    "exit stack": ("import contextlib\nseen = []\ns = contextlib.ExitStack()\n"
                   "_ = s.callback(seen.append, 1)", "s.close() is None and seen == [1]"),
    "logger": ("import logging, io\nout = io.StringIO()\nlog = logging.getLogger('mine')\n"
               "log.addHandler(logging.StreamHandler(out))",
               "log.warning('hello') is None and out.getvalue() == 'hello\\n'"),
    "data base in memory": ("import sqlite3\nd = sqlite3.connect(':memory:')\n"
                            "_ = d.execute('create table t (x)'); _ = d.execute('insert into t "
                            "values (7)')",
                            "d.execute('select x from t').fetchone() == (7,)"),
    "text file at its offset": ("f = open('a.txt', 'w+'); f.write('hello world'); f.seek(6)",
                                "f.read() == 'world'"),
    "binary file": ("f = open('b.bin', 'w+b', 0); f.write(bytes(range(9))); f.seek(3)",
                    "f.read(2) == bytes([3, 4]) and f.tell() == 5"),
    "reader of a file": ("import csv\nopen('c.csv', 'w').write('a,b\\n1,2\\n3,4\\n')\n"
                         "rows = csv.DictReader(open('c.csv')); next(rows)",
                         "next(rows) == {'a': '3', 'b': '4'}"),
    "archive": ("import zipfile\nwith zipfile.ZipFile('z.zip', 'w') as z: z.writestr('x', 'y')\n"
                "z = zipfile.ZipFile('z.zip')", "z.read('x') == b'y'"),
    "temporary file": ("import tempfile\nt = tempfile.TemporaryFile(); t.write(b'temporary')\n"
                       "t.seek(4)", "t.read() == b'orary'"),
    "random generators": ("import random, numpy\nr = random.Random(7); r.random()\n"
                          "n = numpy.random.default_rng(7); n.random()\n"
                          "x, y = random.Random(7), numpy.random.default_rng(7)\n"
                          "x.random(); y.random()",
                          "r.random() == x.random() and n.random() == y.random()"),
    "arrays and views": ("import numpy\na = numpy.arange(6); v = a[::2]; v[1] = 9",
                         "a.tolist() == [0, 1, 9, 3, 4, 5] and v.base is a"),
    "data frame": ("import pandas\nd = pandas.DataFrame({'a': [1, 2, 3], 'b': list('xyx')})\n"
                   "g = d.groupby('b')", "g['a'].sum().to_dict() == {'x': 4, 'y': 2}"),
    "figure": ("import matplotlib.pyplot as plt\nfig, axes = plt.subplots()\n"
               "line = axes.plot([1, 2])[0]",
               "axes.set_title('t') and fig.savefig('f.png') is None and plt.gcf() is fig "
               "and open('f.png', 'rb').read(4) == b'\\x89PNG' and line.axes is axes"),
    "lazy picture": ("from PIL import Image\np = Image.open('image_0.png')",
                     "p.getpixel((0, 0)) == (255, 0, 0)"),
    "picture being drawn": ("from PIL import Image, ImageDraw\np = Image.new('L', (4, 4))\n"
                            "d = ImageDraw.Draw(p); d.point((1, 1), 7)",
                            "d.point((2, 2), 8) is None and (p.getpixel((1, 1)), "
                            "p.getpixel((2, 2))) == (7, 8)"),
    "thread pool": ("from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\n"
                    "p.submit(len, 'a').result()", "p.submit(len, 'ab').result(timeout=5) == 2"),
    "working directory": ("import os\nos.mkdir('s'); os.chdir('s')",
                          "os.getcwd().endswith('/s') and os.listdir('..').count('s') == 1"),
    "patched module": ("import json\njson.mine = 1\nimport sys; sys.path.append('lib')",
                       "__import__('json').mine == 1 and 'lib' in sys.path"),
}  # fmt: skip

BASE = (
    "import os, random, sys, threading, warnings\nimport numpy\nshared = []\n"
    "rng = random.Random(7); start = rng.getstate()\nlock = threading.Lock()\n"
    "numbers = iter(range(9))\narray = numpy.zeros(2)\nkept = open('kept.txt', 'w+')\n"
    "_ = kept.write('kept'); _ = kept.seek(1)\ngone = 1"
)

# What a candidate does, and whether another world has seen it.
CHANGES = {
    "variable": ("x = 1", "'x' in globals()"),
    "variable that is deleted": ("del gone", "'gone' not in globals()"),
    "object of the base": ("shared.append(1)", "shared == [1]"),
    "array of the base": ("array += 1", "bool(array.sum() > 0)"),
    "iterator of the base": ("_ = next(numbers)", "numbers.__reduce__()[2] != 0"),
    "lock of the base": ("_ = lock.acquire()", "lock.locked()"),
    "offset of a file": ("_ = kept.seek(3)", "kept.tell() == 3"),
    "file": ("open('new.txt', 'w').write('x')", "os.path.exists('new.txt')"),
    "overwritten file": ("open('image_0.png', 'w').write('x')",
                         "os.path.getsize('image_0.png') == 1"),
    "removed file": ("os.unlink('image_0.png')", "not os.path.exists('image_0.png')"),
    "working directory": ("os.mkdir('sub')\nos.chdir('sub')", "os.getcwd().endswith('sub')"),
    "environment": ("os.environ['X'] = '1'", "'X' in os.environ"),
    "random state": ("_ = rng.random()", "rng.getstate() != start"),
    "random state of the module": ("random.seed(3); drawn = random.getstate()",
                                   "random.getstate() == globals().get('drawn', 0) or 'drawn' in "
                                   "globals()"),
    "monkey patch": ("import json\njson.dumps = lambda x: 'patched'",
                     "__import__('json').dumps(1) == 'patched'"),
    "built-in": ("import builtins\nbuiltins.mine = 1", "'mine' in dir(__import__('builtins'))"),
    "module": ("import types\nsys.modules['fake'] = types.ModuleType('fake')",
               "'fake' in sys.modules"),
    "search path": ("sys.path.insert(0, 'lib')", "'lib' in sys.path"),
    "filter of warnings": ("warnings.simplefilter('error')", "warnings.filters[0][0] == 'error'"),
    "handler of a signal": ("import signal\n_ = signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
                            "__import__('signal').getsignal(10) == 1"),
}  # fmt: skip


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "image_0.png")
    return tmp_path


async def test_what_survives_a_commit(sandbox: ForkSandbox, picture: Path) -> None:
    wrong: dict[str, object] = {}

    async def survives(kind: str, setup: str, check: str) -> None:
        base = await sandbox.open(picture)
        [made] = await sandbox.run(base, [setup])
        if made.status != "ok":
            wrong[kind] = made
            return
        base = await sandbox.commit(made)
        # Two candidates: neither may use up what the other needs. Then another step.
        twice = await sandbox.run(base, [check, check])
        base = await sandbox.commit(twice[1])
        [later] = await sandbox.run(base, ["'still here'"])
        if [o.value for o in (*twice, later)] != ["True", "True", "'still here'"]:
            wrong[kind] = (twice, later)

    for kind, (setup, check) in KINDS.items():
        await survives(kind, setup, check)
    assert not wrong, "\n".join(f"{k}: {w}" for k, w in wrong.items())


async def test_what_never_reaches_a_sibling(sandbox: ForkSandbox, picture: Path) -> None:
    wrong: dict[str, object] = {}

    async def stays(kind: str, change: str, seen: str) -> None:
        base = await sandbox.open(picture)
        [first] = await sandbox.run(base, [BASE])
        base = await sandbox.commit(first)
        changed, beside, _ = await sandbox.run(base, [change, seen, "'last'"])
        # Not even one that runs later, from the same base.
        [later] = await sandbox.run(base, [seen])
        base = await sandbox.commit(changed)
        # The winner's state goes on, not the last candidate's.
        [after] = await sandbox.run(base, [seen])
        if [o.value for o in (beside, later, after)] != ["False", "False", "True"]:
            wrong[kind] = (changed, beside, later, after)

    await asyncio.gather(*(stays(kind, *pair) for kind, pair in CHANGES.items()))
    assert not wrong, "\n".join(f"{k}: {w}" for k, w in wrong.items())
