"""Becoming another user: what holds for root need not hold for an ordinary one, nor the reverse."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from sport.sandbox import launch

USERS = {"root": 0, "user": 65534}
HERE = Path(__file__).parent
SOURCES = Path(launch.__file__).parents[2]


def interpreter(uid: int) -> list[str]:
    """An interpreter that this user may run: not every one can read the tests' own."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, f"/usr/bin/python{version}", "/usr/local/bin/python" + version):
        if os.path.exists(found):
            try:
                subprocess.run([found, "-c", "import psutil, sport.sandbox"], check=True,
                               env=environment(), cwd="/", stderr=subprocess.DEVNULL,
                               **identity(uid))  # fmt: skip
                return [found]
            except (OSError, subprocess.CalledProcessError):
                continue
    pytest.skip(f"no Python {version} here can be run by user {uid}")


def environment() -> dict[str, str]:
    libraries = sysconfig.get_path("purelib")
    return {
        "PYTHONPATH": f"{SOURCES}:{HERE}:{libraries}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": "/",
    }


def identity(uid: int) -> dict[str, Any]:
    """Arguments of a process that runs as this user."""
    return {"user": uid, "group": uid, "extra_groups": []} if uid != os.geteuid() else {}


def uid_of(user: str) -> int:
    """The number of the user; skips where there is no way to become that one."""
    if user == "user" and os.geteuid() != 0:
        return os.geteuid()
    if user == "root" and os.geteuid() != 0:
        pytest.skip("only root can be root")
    return USERS[user]
