"""Attacks on the sandbox itself: its channel, what stays behind, and what runs out."""

from __future__ import annotations

from attack import Attack, flooded, outlived, poisoned, worked
from attacks_outside import LIBC

_FORGE = (
    "import json, os, socket, time\n"
    "def send(message):\n    body = json.dumps(message).encode()\n"
    "    os.write(3, len(body).to_bytes(4, 'big') + body)\n"
)
_HOLD = (
    LIBC + "import threading, time\nready, tell = os.pipe()\n"
    "def hold():\n    x = b'x' * (64 << 20)\n    os.write(tell, b'x')\n"
    "    time.sleep(4)\n    os._exit(0)\n"
    "def say():\n    for _ in range(5): os.read(ready, 1)\n"
    "    time.sleep(0.8)\n    print('WORKED')\n"
)
"""What holds memory in five children, and says so once all of them do."""

_NO_CHANNEL = "there is no channel without a sandbox"

CHANNEL = {
    "a header of 4 GB": Attack("import os\nos.write(3, b'\\xff' * 4)\nprint('WORKED')", outlived,
                               _NO_CHANNEL, status="died"),
    "no JSON": Attack("import os\nos.write(3, b'\\0\\0\\0\\1x')", outlived, _NO_CHANNEL,
                      status="died"),
    "the wrong type": Attack("import os\nos.write(3, b'\\0\\0\\0\\2[]')", outlived, _NO_CHANNEL,
                             status="died"),
    "deep nesting": Attack(
        "import os\nbody = b'[' * 100_000\nos.write(3, len(body).to_bytes(4, 'big') + body)",
        outlived, _NO_CHANNEL, status="died"),
    "an unknown kind": Attack(_FORGE + "send({'kind': 'commit'})", outlived, _NO_CHANNEL,
                              status="died"),
    "an unknown status": Attack(_FORGE + "send({'kind': 'done', 'status': 'won'})", outlived,
                                _NO_CHANNEL, status="died"),
    "half a frame": Attack("import os, time\nos.write(3, b'\\0\\0\\1\\0{')\ntime.sleep(60)",
                           outlived, _NO_CHANNEL, status="timeout"),
    "a frame that never ends": Attack(
        "import os\nos.write(3, (4 << 20).to_bytes(4, 'big'))\n"
        "while True: os.write(3, b' ' * 65536)", outlived, _NO_CHANNEL, status="died"),
    "closed": Attack("import os\nos.close(3)", outlived, _NO_CHANNEL, status="died"),
    "closed, and going on": Attack("import os, time\nos.close(3)\ntime.sleep(60)", outlived,
                                   _NO_CHANNEL, status="died"),
    "an early done": Attack(
        _FORGE + "send({'kind': 'done', 'status': 'ok'})\nwhile True: time.sleep(0.01)",
        outlived, _NO_CHANNEL, status="ok"),
    "an early done by a child": Attack(
        _FORGE + "if os.fork() == 0:\n    send({'kind': 'done', 'status': 'ok'})\n"
        "    time.sleep(60)\nos.wait()", outlived, _NO_CHANNEL, status="ok"),
    "a done of odd parts": Attack(
        _FORGE + "send({'kind': 'done', 'status': 'ok', 'value': {'a': [1]}, 'notes': ['x'] * 99, "
        "'error': {'line': 'one'}, 'cpu_s': -1, 'answer': {'b': None}})\ntime.sleep(60)",
        outlived, _NO_CHANNEL),
    "a call of no tool": Attack(
        _FORGE + "send({'kind': 'call', 'name': '__import__', 'args': ['os'], 'kwargs': {}})\n"
        "print('WORKED' if b'result' in os.read(3, 4096) else 'refused')", worked, _NO_CHANNEL),
    "a call of odd parts": Attack(
        _FORGE + "send({'kind': 'call', 'name': ['echo'], 'args': {'a': 1}, 'kwargs': 5})\n"
        "print('WORKED' if b'result' in os.read(3, 4096) else 'refused')", worked, _NO_CHANNEL),
    "descriptors by the thousand": Attack(
        "import os, socket\ns = socket.socket(fileno=os.dup(3))\nbody = b'\\0\\0\\0\\1x'\n"
        "for _ in range(100):\n    try: socket.send_fds(s, [b' '], [0] * 100)\n"
        "    except OSError: break\nelse: print('WORKED')", worked, _NO_CHANNEL),
    "reading what is the host's": Attack(
        "import os\nfor fd in (0, 1, 2):\n    try: os.read(fd, 10)\n    except OSError: pass\n"
        "os.write(1, b'x' * 10)\nos.ftruncate(1, 1 << 30)\nprint('WORKED')", worked,
        "the block of memory is the sandbox's"),
}  # fmt: skip

_DAEMON = (
    "import os, sys, time\nif os.fork() == 0:\n    if os.fork() == 0:\n"
    "        for fd in (0, 1, 2, 3):\n            try: os.close(fd)\n"
    "            except OSError: pass\n        time.sleep(4)\n    os._exit(0)\nos.wait()\n"
)

PERSISTENCE = {
    "built-ins": Attack("import builtins\nbuiltins.sum = lambda x: 9\nbuiltins.poison = 1",
                        poisoned),
    "built-ins of the library": Attack(
        "import json\nb = json.dumps.__globals__['__builtins__']\nb['sum'] = lambda x: 0\n"
        "b['poison'] = 1",
        poisoned),
    "sys.modules": Attack("import sys, types\nsys.modules['poison'] = types.ModuleType('poison')",
                          poisoned),
    "a function of the library": Attack("import json\njson.dumps = lambda x: 'poisoned'",
                                        poisoned),
    "code of the library": Attack(
        "import json\ndef false(obj, **kwargs): return 'poisoned'\n"
        "json.dumps.__code__ = (lambda obj, **k: 'poisoned').__code__\njson.dumps.__kwdefaults__ = "
        "None", poisoned),
    "environment": Attack("import os\nos.environ['poison'] = '1'", poisoned),
    "a module in the workspace": Attack("open('json.py', 'w').write('dumps = repr')", poisoned),
    "an object by ctypes": Attack(
        "import ctypes\nctypes.cast(id(1) + 24, ctypes.POINTER(ctypes.c_uint32))[0] = 7\n"
        "raise SystemExit", poisoned, "the interpreter itself breaks", status=""),
    "site-packages": Attack(
        "import os, sysconfig\npath = sysconfig.get_path('purelib') + '/sport_test_$name.pth'\n"
        "os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))\nos.unlink(path)\n"
        "print('WORKED')", worked, "root"),
    "byte code": Attack(
        "import os, json\npath = os.path.dirname(json.__file__) + '/__pycache__/sport_test.pyc'\n"
        "os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))\nos.unlink(path)\n"
        "print('WORKED')", worked, "root"),
    "byte code that is there": Attack(
        "import os, json\nos.close(os.open(json.__cached__, os.O_WRONLY))\nprint('WORKED')",
        worked, "root"),
    "the sandbox's own code": Attack(
        "import os\nos.close(os.open($sandbox_code, os.O_WRONLY))\nprint('WORKED')", worked,
        "root"),
    "a daemon": Attack(_DAEMON, outlived),
    "a daemon, then a crash": Attack(_DAEMON + "os._exit(1)", outlived, status="died"),
    "a child that holds the channel": Attack(
        "import os, time\nif os.fork() == 0: time.sleep(60)\nos._exit(1)", outlived,
        _NO_CHANNEL, status="died"),
    "a daemon that ignores signals": Attack(
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n" + _DAEMON, outlived),
    "a daemon whose first thread ended": Attack(
        LIBC + "import threading, time\nif os.fork() == 0:\n"
        "    threading.Thread(target=time.sleep, args=(30,)).start()\n"
        "    libc.pthread_exit(None)\ntime.sleep(0.3)", outlived),
    "a child of the parent's": Attack(
        LIBC + "pid = libc.syscall(56 if os.uname().machine == 'x86_64' else 220, 0x8011, 0, 0, "
        "0, 0)\nif pid == 0: os._exit(0)\nassert pid > 0\nprint('WORKED')", worked),
    "a thread that goes on": Attack(
        "import threading, time\ndef go():\n    for _ in range(60): time.sleep(0.1)\n"
        "    open('poison', 'w')\nthreading.Thread(target=go, daemon=True).start()", outlived,
        "it ends with its interpreter"),
}  # fmt: skip

EXHAUSTION = {
    "processes": Attack(
        "import os, time\nfor _ in range(40):\n    if os.fork() == 0: time.sleep(4); os._exit(0)\n"
        "time.sleep(1)\nprint('WORKED')", worked, status="died"),
    "processes of processes": Attack(
        "import os, time\nfor _ in range(6): os.fork()\ntime.sleep(1)\nprint('WORKED')", worked,
        status="died"),
    "threads": Attack(
        "import threading, time\nthreading.stack_size(1 << 16)\n"
        "threads = [threading.Thread(target=time.sleep, args=(2,)) "
        "for _ in range(40)]\nfor t in threads: t.start()\ntime.sleep(1)\nprint('WORKED')", worked,
        status="died"),
    "memory": Attack("import time\nx = [b'x' * (20 << 20) for _ in range(30)]\nprint('WORKED')",
                     worked, status="memory"),
    "memory of children": Attack(
        _HOLD + "for _ in range(5):\n    if os.fork() == 0: hold()\nsay()", worked,
        status="memory"),
    "memory of children whose first thread ended": Attack(
        _HOLD + "for _ in range(5):\n    if os.fork() == 0:\n"
        "        threading.Thread(target=hold).start()\n        libc.pthread_exit(None)\n"
        "say()", worked, status="memory"),
    "memory that only children share": Attack(
        _HOLD + "for _ in range(5):\n    if os.fork() == 0:\n"
        "        x = b'x' * (64 << 20)\n        os.fork()\n        os.write(tell, b'x')\n"
        "        time.sleep(4)\n        os._exit(0)\nsay()", worked, status="memory"),
    "memory of orphans": Attack(
        _HOLD + "for _ in range(5):\n    if os.fork() == 0:\n"
        "        if os.fork(): os._exit(0)\n        hold()\nsay()", worked, status="memory"),
    "memory in pipes": Attack(
        LIBC + "data = bytes(4096)\nclass Part(ctypes.Structure):\n"
        "    _fields_ = [('base', ctypes.c_char_p), ('size', ctypes.c_size_t)]\n"
        "assert libc.vmsplice(os.pipe()[1], ctypes.byref(Part(data, 4096)), 1, 0) == 4096\n"
        "print('WORKED')", worked),
    "memory that is mapped": Attack(
        "import mmap, time\nx = mmap.mmap(-1, 600 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "for i in range(0, 600 << 20, 4096): x[i] = 1\nprint('WORKED')", worked, status="error"),
    "one file": Attack(
        "f = open('f', 'wb')\nfor _ in range(40): f.write(bytes(1 << 20)); f.flush()\n"
        "print('WORKED')", worked, status="disk"),
    "many files": Attack(
        "import time\nfor i in range(60):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))\n"
        "    time.sleep(0.01)\ntime.sleep(0.3)\nprint('WORKED')", worked, status="disk"),
    "many empty files": Attack(
        "import os, time\nfor i in range(8_000): os.close(os.open(f'f{i}', os.O_CREAT))\n"
        "time.sleep(0.8)\nprint('WORKED')", worked, status="disk"),
    "a file without a name": Attack(
        "import os, time\nfds = []\nfor i in range(40):\n"
        "    fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\n    os.write(fd, bytes(1 << 20))\n"
        "    fds.append(fd)\ntime.sleep(0.5)\nprint('WORKED')", worked, status="disk"),
    "files that are removed while open": Attack(
        "import os, time\nkept = []\nfor i in range(40):\n    f = open('f', 'w+b', 0)\n"
        "    f.write(bytes(1 << 20))\n    os.unlink('f')\n    kept.append(f)\ntime.sleep(0.5)\n"
        "print('WORKED')", worked, status="disk"),
    "files that hold though the first thread ended": Attack(
        _HOLD + "def keep():\n"
        "    for i in range(40):\n        fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\n"
        "        os.write(fd, bytes(1 << 20))\n    time.sleep(2)\n    os._exit(0)\n"
        "if os.fork() == 0:\n    threading.Thread(target=keep).start()\n"
        "    libc.pthread_exit(None)\ntime.sleep(1.5)\nprint('WORKED')", worked,
        status="disk"),
    "files that a mapping holds": Attack(
        LIBC + "import time\nlibc.mmap.restype = ctypes.c_void_p\n"
        "for i in range(40):\n    fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\n"
        "    os.write(fd, bytes(1 << 20))\n"
        "    assert libc.mmap(None, 4096, 1, 1, fd, ctypes.c_long(0)) != 2**64 - 1\n"
        "    os.close(fd)\ntime.sleep(1)\nprint('WORKED')", worked, status="disk"),
    "files on their way": Attack(
        "import os, socket\na, b = socket.socketpair()\nfor i in range(40):\n"
        "    fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\n    os.write(fd, bytes(1 << 20))\n"
        "    socket.send_fds(a, [b'x'], [fd])\n    os.close(fd)\nprint('WORKED')", worked),
    "sparse files": Attack(
        "for i in range(40):\n    with open(f'f{i}', 'wb') as f:\n"
        "        f.seek(1 << 20); f.write(bytes(1 << 20))\nimport time\ntime.sleep(1)\n"
        "print('WORKED')", worked, status="disk"),
    "disk by fallocate": Attack(
        "import os\nfd = os.open('f', os.O_CREAT | os.O_RDWR)\n"
        "os.posix_fallocate(fd, 0, 30 << 20)\nprint('WORKED')", worked),
    "deep folders": Attack(
        "import os\nfor _ in range(400):\n    os.mkdir('d')\n    os.chdir('d')", outlived,
        "nothing outside runs out", status="disk"),
    "descriptors": Attack(
        "import os\nfds = [os.dup(0) for _ in range(400)]\nprint('WORKED')", worked),
    "output": Attack("for i in range(400_000): print('many words', i)", flooded),
    "output without a newline": Attack(
        "import sys\nfor _ in range(400): sys.stdout.write('x' * 50_000)", flooded),
    "output by the descriptor": Attack(
        "import os\nfor _ in range(400): os.write(1, b'x' * 50_000)", flooded),
    "an error of 50 MB": Attack("raise ValueError('x' * 50_000_000)", flooded,
                                "an error is no output"),
    "time": Attack("import time\ntime.sleep(5)\nprint('WORKED')", worked, status="timeout"),
    "processor": Attack(
        "import time\nend = time.process_time() + 3\nwhile time.process_time() < end: pass\n"
        "print('WORKED')", worked, status="timeout"),
    "every exception swallowed": Attack(
        "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end:\n"
        "    try: time.sleep(0.1)\n    except BaseException: pass\nprint('WORKED')", worked,
        status="timeout"),
    "every signal handled": Attack(
        "import signal, time\nfor n in range(1, 65):\n"
        "    try: signal.signal(n, lambda *a: None)\n    except (OSError, ValueError): pass\n"
        "end = time.monotonic() + 5\nwhile time.monotonic() < end: time.sleep(0.1)\n"
        "print('WORKED')", worked, status="timeout"),
    "_exit": Attack("import os\nos._exit(0)", outlived, "nothing outside runs out",
                    status="died"),
    "segmentation fault": Attack("import ctypes\nctypes.string_at(0)", outlived,
                                 "nothing outside runs out", status="died"),
    "recursion": Attack(
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", outlived,
        "nothing outside runs out"),
}  # fmt: skip
