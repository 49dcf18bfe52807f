"""Attacks on what lies outside: files that are read, files that are written, the network."""

from __future__ import annotations

from attack import Attack, changed, leaked, meddled, poisoned, reached, worked

LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
WORK = "import os, re\nhere = os.getcwd()\nnumber = int(here.split('/')[-2])\n"

READ = {
    "a file of mode 0666": Attack("print(open('$canary').read())", leaked),
    "read by a symlink": Attack("import os\nos.symlink('$canary', 'l')\nprint(open('l').read())",
                                leaked),
    "read by a hard link": Attack("import os\nos.link('$canary', 'l')\nprint(open('l').read())",
                                  leaked),
    "go up": Attack("print(open('../' * 30 + '$canary'[1:]).read())", leaked),
    "by /proc/self/root": Attack("print(open('/proc/self/root$canary').read())", leaked),
    "by a descriptor of the root": Attack(
        "import os\nroot = os.open('/', os.O_PATH)\n"
        "print(os.read(os.open('$canary'[1:], os.O_RDONLY, dir_fd=root), 99))", leaked),
    "ctypes syscall": Attack(
        LIBC + "fd = libc.openat(-100, b'$canary', 0)\nprint(os.read(fd, 99))", leaked),
    "openat2 by number": Attack(
        LIBC + "how = (ctypes.c_uint64 * 3)(0, 0, 0)\n"
        "fd = libc.syscall(437, -100, b'$canary', how, 24)\nprint(os.read(fd, 99))", leaked),
    "by a file handle": Attack(
        LIBC + "handle = (ctypes.c_uint32 * 34)(128)\nmount = ctypes.c_int()\n"
        "assert libc.name_to_handle_at(-100, b'$canary', handle, ctypes.byref(mount), 0) == 0\n"
        "near = os.open('$folder', os.O_RDONLY)\n"
        "fd = libc.open_by_handle_at(near, handle, 0)\nprint(os.read(fd, 99))", leaked, "root"),
    "an inherited descriptor": Attack(
        "import os\nfor fd in range(3, 256):\n    try: print(os.pread(fd, 200, 0))\n"
        "    except OSError: pass", leaked),
    "a folder's names": Attack("import os\nassert os.listdir('$folder')\nprint('WORKED')", worked),
    "environment of the host": Attack("print(open('/proc/$host/environ').read())", leaked),
    "environment of a process": Attack(
        "print(open('/proc/$victim/environ').read())", leaked, victim=True),
    "memory of a process by /proc": Attack(
        "stack = next(l for l in open('/proc/$victim/maps') if '[stack]' in l)\n"
        "first, last = (int(a, 16) for a in stack.split()[0].split('-'))\n"
        "memory = open('/proc/$victim/mem', 'rb', 0)\nmemory.seek(first)\n"
        "print(memory.read(last - first))", leaked, victim=True),
    "by a tool": Attack("print(echo(open('$canary').read()))", leaked,
                        "the tool is not there without a sandbox"),
}  # fmt: skip

WRITE = {
    "append": Attack("open('$canary', 'a').write('x')", changed),
    "truncate": Attack("import os\nos.truncate('$canary', 0)", changed),
    "truncate by a read-only descriptor": Attack(
        "import os\nos.open('$canary', os.O_RDONLY | os.O_TRUNC)", changed),
    "by a symlink": Attack("import os\nos.symlink('$canary', 'l')\nopen('l', 'w').write('x')",
                           changed),
    "by a hard link": Attack("import os\nos.link('$canary', 'l')\nopen('l', 'w').write('x')",
                             changed),
    "rename in": Attack("import os\nos.rename('$canary', 'l')", changed),
    "rename over": Attack("import os\nopen('f', 'w').write('x')\nos.rename('f', '$canary')",
                          changed),
    "create beside": Attack("open('$folder/new', 'w')", changed),
    "a folder beside": Attack("import os\nos.mkdir('$folder/new')", changed),
    "a symlink beside": Attack("import os\nos.symlink('x', '$folder/new')", changed),
    "a socket beside": Attack(
        "import socket\nsocket.socket(socket.AF_UNIX).bind('$folder/new')", changed),
    "remove": Attack("import os\nos.unlink('$canary')", changed),
    "mode": Attack("import os\nos.chmod('$canary', 0o600)", changed),
    "owner": Attack("import os\nos.chown('$canary', 1, 1)", changed, "root"),
    "times": Attack("import os\nos.utime('$canary', (0, 0))", changed),
    "a device": Attack(
        "import os, stat\nos.mknod('d', 0o600 | stat.S_IFCHR, os.makedev(1, 3))\nprint('WORKED')",
        worked, "root"),
    "the sibling's folder": Attack(
        "# beside\n" + WORK + "for other in (number - 1, number + 1):\n"
        "    try: open(re.sub(r'/\\d+/work$$', f'/{other}/work/x', here), 'w').write('x')\n"
        "    except OSError: pass", meddled, "unsafe_local"),
    "the base folder": Attack(
        WORK + "open(re.sub(r'/n/\\d+/work$$', '/base/x', here), 'w').write('x')",
        poisoned, "unsafe_local"),
}  # fmt: skip

_HELLO = ".send(b'$name')\n"

NETWORK = {
    "tcp": Attack(
        "import socket\nsocket.create_connection(('127.0.0.1', $port), timeout=2)" + _HELLO,
        reached),
    "udp": Attack(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('127.0.0.1', $udp))\ns" + _HELLO, reached),
    "unix": Attack("import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('$unix')\ns"
                   + _HELLO, reached),
    "unix, abstract": Attack(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0$unix')\ns" + _HELLO,
        reached),
    "unix, a datagram pair": Attack(
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "a.sendto(b'$name', '$unix.datagrams')", reached),
    "tcp by ctypes": Attack(
        LIBC + "import struct\ns = libc.syscall(41 if os.uname().machine == 'x86_64' else 198, "
        "2, 1, 0)\n"
        "a = struct.pack('=H', 2) + struct.pack('!H', $port) + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "assert libc.connect(s, a, 16) == 0\nos.write(s, b'$name')", reached),
    "netlink": Attack("import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\n"
                      "print('WORKED')", worked),
    "raw": Attack("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\n"
                  "print('WORKED')", worked, "root"),
    "packet": Attack("import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
                     "print('WORKED')", worked, "root"),
    "listen": Attack("import socket\nsocket.create_server(('127.0.0.1', 0))\nprint('WORKED')",
                     worked),
    "name service": Attack("import socket\nsocket.getaddrinfo('localhost', 80)\n"
                           "socket.socket()\nprint('WORKED')", worked),
    "io_uring": Attack(
        LIBC + "p = ctypes.create_string_buffer(256)\nassert libc.syscall(425, 1, p) >= 0\n"
        "print('WORKED')", worked),
}  # fmt: skip
