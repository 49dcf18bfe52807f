"""A world: the interpreter state of one trajectory. It forks one child for each candidate; the
winner's child is the next world.
"""  # noqa: D205

from __future__ import annotations

import _thread
import builtins
import fcntl
import gc
import os
import posix  # not os: the code may have patched that
import resource
import select
import signal
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from sport.sandbox.execute import fresh_output, quiet_machinery, run_code
from sport.sandbox.frames import BadFrame, Channel
from sport.sandbox.jsonable import to_json
from sport.sandbox.walls import Landlock, adopt_orphans

WORKSPACE_FD = 200
"""A descriptor of the workspace: symlinks to it make stale absolute paths mean the present one."""

_POLL = select.poll()
for _fd in range(4, 256):
    _POLL.register(_fd, 0)

_THREADS_ENDED = "Threads that were still running ended with the step."


class World:
    """State, and the loop that forks candidates from it.

    Args:
        config: What the host said at the start.
        channel: To the host.
        landlock: The rules that every candidate is put under; ``None`` in ``unsafe_local``.
        namespace: Globals of ``__main__``.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        channel: Channel,
        landlock: Landlock | None,
        namespace: dict[str, Any],
    ) -> None:
        """A fresh world; nothing has run in it."""
        import random  # not above: the worker has a say in how it is imported

        self._channel = channel
        self._landlock = landlock
        self._namespace = namespace
        self._seed_random = random.seed
        self._raw, self._stream = fresh_output(config["output_bytes"])
        self._room = config["output_bytes"]
        self._stubs = {name: self._stub(name, text) for name, text in config["tools"].items()}
        self._lock = _thread.allocate_lock()
        self._pid = posix.getpid()
        self._own_home = config["own_home"]
        self._open_files: list[int] = []
        self._folder = "."
        self._fork = posix.fork

    def serve(self) -> NoReturn:
        """Forks candidates as the host asks, until it is gone."""
        self._hello()
        while True:
            try:
                _, fds = self._channel.receive()
            except (EOFError, OSError, BadFrame):
                posix._exit(0)
            for index in range(0, len(fds), 2):
                if self._fork() == 0:
                    self._become(fds[index], fds[index + 1], fds)
                    break
            else:
                for fd in fds:
                    posix.close(fd)

    def _hello(self) -> None:
        self._channel.send({})  # the kernel tells the host which process this is

    def _become(self, channel: int, output: int, fds: list[int]) -> None:
        """This process is a candidate from here on, and the world if it wins."""
        adopt_orphans()
        # Same number, another socket: the channel's owner need not know.
        posix.dup2(channel, 3, inheritable=False)
        posix.dup2(output, 1)
        posix.dup2(output, 2)
        for fd in fds:
            posix.close(fd)
        self._pid = posix.getpid()
        self._lock = _thread.allocate_lock()
        try:
            self._take_part()
        except BaseException:
            posix._exit(1)  # the host sees a death; our own trace is not the candidate's to see

    def _take_part(self) -> None:
        """One candidate's life: code in, result out."""
        self._hello()
        start, _ = self._channel.receive()
        self._enter(start)
        result = self._run(start)
        if posix.getpid() != self._pid:
            posix._exit(0)  # a child that the code forked came back to here
        self._settle(result)
        self._channel.send(result)

    def _enter(self, start: dict[str, Any]) -> None:
        work = start["slot"] + "/work"
        folder = posix.open(work, os.O_PATH | os.O_DIRECTORY)
        posix.dup2(folder, WORKSPACE_FD)
        posix.close(folder)
        posix.fchdir(WORKSPACE_FD)
        if self._own_home:
            os.environ["HOME"] = work
        if self._landlock is not None:
            self._landlock.restrict([work, start["slot"] + "/n"])
        for fd in self._open_files:
            _reopen(fd, start["base"], work)
        if self._folder != ".":
            posix.chdir(self._folder)
        self._seed_random(start["seed"])
        numpy = sys.modules.get("numpy")
        if numpy is not None and "numpy.random" in sys.modules:
            numpy.random.seed(start["seed"] % 2**32)

    def _run(self, start: dict[str, Any]) -> dict[str, Any]:
        if self._stream.closed:
            self._raw, self._stream = fresh_output(self._room)
        self._raw.reset()
        sys.stdout = sys.stderr = self._stream
        self._namespace.update(self._stubs)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        result = run_code(start["code"], self._namespace, f"<step {start['step']}>")
        quiet_machinery()
        return result

    def _settle(self, result: dict[str, Any]) -> None:
        """Makes this process ready to be forked from: one thread, known files."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        if not self._stream.closed:
            self._stream.flush()
        cpu = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        used = [resource.getrusage(who) for who in cpu]
        result["kind"] = "done"
        result["cpu_s"] = sum(u.ru_utime + u.ru_stime for u in used)
        result["truncated"] = self._raw.truncated
        result["notes"] = []
        self._open_files = _regular_files()
        self._folder = _below_workspace()
        if _threads() > 1:
            result["notes"].append(_THREADS_ENDED)
            if self._fork() != 0:
                while True:  # the child, with one thread, goes on; the host ends this process
                    signal.pause()
            self._pid = posix.getpid()
            adopt_orphans()
            _renew_pools()

    def _stub(self, name: str, text: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, args, kwargs)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = text
        return call

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if posix.getpid() != self._pid:
            raise RuntimeError(f"{name} can only be called from the main process")
        try:
            message = {
                "kind": "call",
                "name": name,
                "args": to_json(args, lenient=False),
                "kwargs": to_json(kwargs, lenient=False),
            }
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: {error}") from None
        with self._lock:
            self._channel.send(message)
            reply, _ = self._channel.receive()
        if "error" in reply:
            raise _exception(reply["error"])
        return reply["result"]


def _exception(error: dict[str, str]) -> Exception:
    """The tool's own exception where it is a built-in one; its text in any case."""
    kind = getattr(builtins, error["type"], None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(error["message"])
        except TypeError:  # UnicodeDecodeError and its like want more
            pass
    return RuntimeError(f"{error['type']}: {error['message']}")


def _regular_files() -> list[int]:
    """Descriptors of regular files that the code has open."""
    closed = {fd for fd, event in _POLL.poll(0) if event & select.POLLNVAL}
    opened = [fd for fd in range(4, 256) if fd not in closed and fd != WORKSPACE_FD]
    return [fd for fd in opened if _is_regular(fd)]


def _is_regular(fd: int) -> bool:
    try:
        return stat.S_ISREG(posix.fstat(fd).st_mode)
    except OSError:
        return False  # garbage collection may close a file at any time


def _reopen(fd: int, base: str, work: str) -> None:
    """Gives this process a descriptor of its own, at the same offset, in its own workspace.

    After a plain fork siblings share the offset, and the file lies in the base's folder.
    """
    try:
        path = posix.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return  # the last reference went after the files were listed
    if path.startswith(base + "/"):
        path = work + path[len(base) :]
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)
    offset = posix.lseek(fd, 0, os.SEEK_CUR)
    try:
        fresh = posix.open(path, flags | os.O_CLOEXEC)
    except OSError:
        fresh = _copy_of_deleted(fd)
    posix.lseek(fresh, offset, os.SEEK_SET)
    posix.dup2(fresh, fd, inheritable=False)
    posix.close(fresh)


def _copy_of_deleted(fd: int) -> int:
    """A file without a name, such as a temporary one: its content moves to another such file."""
    copy = posix.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    position = 0
    while block := posix.pread(fd, 1 << 20, position):
        position += posix.write(copy, block)
    return copy


def _threads() -> int:
    """Number of Python's threads; whoever starts one has imported ``threading``."""
    threading = sys.modules.get("threading")
    return threading.active_count() if threading is not None else 1


def _renew_pools() -> None:
    """Thread pools get fresh threads at their next use, in place of those that ended."""
    futures = sys.modules.get("concurrent.futures.thread")
    if futures is None:
        return
    for pool in gc.get_objects():
        if type(pool) is futures.ThreadPoolExecutor and not pool._shutdown:
            pool.__init__(
                pool._max_workers, pool._thread_name_prefix, pool._initializer, pool._initargs
            )


def _below_workspace() -> str:
    """The working directory, relative to the workspace."""
    root = posix.readlink(f"/proc/self/fd/{WORKSPACE_FD}")
    try:
        folder = posix.getcwd()
    except FileNotFoundError:
        return "."
    return folder[len(root) + 1 :] if folder.startswith(root + "/") else "."
