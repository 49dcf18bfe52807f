"""Starting the worker behind as many walls as this machine has, and saying which ones."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sport.sandbox import folders
from sport.sandbox.base import Limits, SandboxError
from sport.sandbox.cgroups import ControlGroups, NoGroups, open_groups
from sport.sandbox.frames import Channel, pack
from sport.sandbox.walls import landlock_abi
from sport.sandbox.world import WORKSPACE_FD

PREFIX = "sport-sandbox-"
_START_S = 30.0
_HERE = Path(__file__).resolve().parent
# The parents are stubs: the worker must not import what the host's package imports.
_BOOT = f"""
import sys, types
for name, path in (("sport", {str(_HERE.parent)!r}), ("sport.sandbox", {str(_HERE)!r})):
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [path]
from sport.sandbox.worker import main
main()
"""
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/workspace",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONUTF8": "1",
    # Sets of texts iterate in the same order in every run.
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MPLBACKEND": "Agg",
}
# The root of the worlds is $0; from inside, it cannot be removed: it is a mount point.
_LAST = 'groups=$1; shift; "$@"; rm -rf -- "$0"; [ -z "$groups" ] || rmdir "$groups"/* "$groups"'
NAMESPACES = "user, pid, network, ipc, uts, mount"
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")
_SETTINGS = ("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/mime.types")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@dataclass
class Worker:
    """A running worker.

    Attributes:
        tier: ``strong``, ``standard`` or ``unsafe_local``.
        process: The process that was started; under bubblewrap it is bubblewrap's.
        control: Host's end of the worker's channel.
        root: Folder of all its worlds.
        lock: Held while the host lives, so that leftovers are told from folders in use.
        groups: Control groups of candidates, where they can be had.
        details: What the tier is made of, by layer.
        listener: Descriptor by which the kernel asks before a fork; -1 if it cannot.
    """

    tier: str
    process: subprocess.Popen[bytes]
    control: socket.socket
    root: Path
    lock: IO[bytes]
    groups: ControlGroups | None
    details: dict[str, str]
    listener: int = -1

    def stop(self) -> None:
        """Ends the worker and all its worlds, and removes its folder."""
        self.control.close()  # upon which it ends what it forked
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.listener >= 0:
            os.close(self.listener)
            self.listener = -1
        folders.remove(str(self.root))
        if self.groups is not None:
            self.groups.close()
        self.lock.close()


def start_worker(
    limits: Limits,
    tools: Mapping[str, str],
    preload: Sequence[str],
    *,
    tier: str | None = None,
    unsafe_local: bool = False,
    folder: Path | None = None,
) -> Worker:
    """Starts a worker in the best tier there is.

    Args:
        limits: Bounds of every candidate.
        tools: Texts of the tools by name.
        preload: Modules to import before any world is forked.
        tier: Only this one.
        unsafe_local: Whether to run without walls where they cannot be had.
        folder: Where workspaces lie; see :func:`_place`.

    Raises:
        SandboxError: No tier can be had; says why, and what would mend it.
    """
    place = folder or _place(limits)
    for left in {place, Path(tempfile.gettempdir())}:
        sweep_leftovers(left)
    reasons = {}
    for name in (tier,) if tier else ("strong", "standard"):
        try:
            return _start(name, place, limits, tools, preload)
        except SandboxError as error:
            reasons[name] = str(error)
    if unsafe_local:
        return _start("unsafe_local", place, limits, tools, preload)
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise SandboxError(
        f"model-written code cannot be isolated on this machine. {why}. `sport doctor` says what "
        "is missing; `unsafe_local = true` under [sandbox] runs it without walls, at your risk"
    )


def _place(limits: Limits) -> Path:
    """Where workspaces lie: in memory if four full ones fit, else where temporary files do."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > limits.disk_mb << 22:
        return memory
    return Path(tempfile.gettempdir())


def _start(
    tier: str, place: Path, limits: Limits, tools: Mapping[str, str], preload: Sequence[str]
) -> Worker:
    bwrap = shutil.which("bwrap")
    if tier == "strong" and bwrap is None:
        raise SandboxError("bubblewrap is not installed (Debian: apt install bubblewrap)")
    root, lock = _folder(place)
    groups, bounds = _groups()
    config: dict[str, Any] = {
        "walls": tier != "unsafe_local",
        "own_home": tier != "strong",  # there is no /workspace
        "root": str(root),
        "groups": str(groups.path) if groups else "",
        "read_only": _distinct([*_libraries(), *_SETTINGS]),
        "devices": _DEVICES,
        "limits": limits.model_dump(),
        "output_bytes": 4 * limits.output_chars,
        "tools": dict(tools),
        "preload": list(preload),
    }
    command = [sys.executable, "-s", "-P", "-B", "-c", _BOOT]
    if tier == "strong":
        last = ["/bin/sh", "-c", _LAST, str(root), config["groups"]]
        command = [*last, str(bwrap), *_namespaces(root), *command]
    local, remote = socket.socketpair()
    with remote:
        process = subprocess.Popen(
            command,
            stdin=remote.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd=root,
            start_new_session=True,  # Ctrl-C is for the host
        )
    worker = Worker(tier, process, local, root, lock, groups, _details(tier, bounds))
    try:
        local.sendall(pack(config))
        _await_ready(worker)
    except BaseException:
        worker.stop()
        raise
    return worker


def _groups() -> tuple[ControlGroups | None, str]:
    """Control groups, and what bounds a candidate as a whole."""
    try:
        groups = open_groups()
    except NoGroups as reason:
        return None, f"rlimits and a watcher ({reason})"
    return groups, f"rlimits, cgroup v2 at {groups.path.parent} and a watcher"


def _details(tier: str, bounds: str) -> dict[str, str]:
    """What a tier is made of, the outermost layer first."""
    walls = tier != "unsafe_local"
    return {
        "namespaces": f"{NAMESPACES} (bubblewrap)" if tier == "strong" else "none",
        "Landlock": f"version {landlock_abi()}" if walls else "none",
        "seccomp": f"filter for {platform.machine()}" if walls else "none",
        "limits": bounds,
    }


def _folder(place: Path) -> tuple[Path, IO[bytes]]:
    """A new folder, and the lock that marks it as in use."""
    new = Path(tempfile.mkdtemp(prefix="sport-new-", dir=place)).resolve()
    lock = (new / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (new / "canary").write_text("outside")
    # It gets its name once it is locked: until then it would look left over.
    root = new.with_name(new.name.replace("sport-new-", PREFIX, 1))
    new.rename(root)
    return root, lock


def _await_ready(worker: Worker) -> None:
    worker.control.settimeout(_START_S)
    problem = ""
    try:
        message, fds = Channel(worker.control.dup()).receive()
        problem = str(message.get("problem"))
        worker.listener = fds[0] if fds else -1
    except (EOFError, OSError):
        worker.control.close()
        problem = _last_words(worker.process) or f"no answer within {_START_S:.0f} s"
    else:
        assert worker.process.stderr is not None
        worker.process.stderr.close()
        worker.control.setblocking(True)
        gate = "a gate on forks" if fds else f"no gate on forks ({message.get('gate')})"
        worker.details["limits"] = f"{gate}, {worker.details['limits']}"
    if problem:
        raise SandboxError(problem)


def _last_words(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    try:
        _, said = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        return ""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"the worker ended with status {process.returncode}"


def _libraries() -> list[str]:
    """Where the interpreter and its libraries lie."""
    paths = {*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    paths |= {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.add(str(Path(sys.executable).resolve().parent))
    return sorted(p for p in paths if p != "/" and os.path.exists(p))


def _distinct(paths: Sequence[str]) -> list[str]:
    """Real paths, without those that lie inside another: every rule costs in every candidate."""
    real = sorted({os.path.realpath(p) for p in paths})
    return [p for p in real if not any(p.startswith(other + "/") for other in real)]


def _namespaces(root: Path) -> list[str]:
    """Arguments of bubblewrap: a file system of libraries and workspaces, and nothing else."""
    arguments = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    arguments += ["--unshare-uts", "--unshare-cgroup-try", "--as-pid-1", "--cap-drop", "ALL"]
    arguments += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    seen = [*_libraries(), *_SETTINGS, str(_HERE)]
    for path in dict.fromkeys([*seen, *_distinct(seen)]):
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            arguments += ["--ro-bind", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--bind", str(root), str(root)]
    arguments += ["--symlink", f"/proc/self/fd/{WORKSPACE_FD}", "/workspace"]
    return [*arguments, "--chdir", str(root), "--"]


def sweep_leftovers(place: Path) -> None:
    """Removes folders of sandboxes whose host is gone."""
    for folder in place.glob(PREFIX + "*"):
        with contextlib.suppress(OSError), (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folders.remove(str(folder))
