"""How strong the sandbox can be on this machine, found by starting it."""

from __future__ import annotations

import os
import platform
import shutil

from sport.sandbox.base import Limits, SandboxError
from sport.sandbox.launch import NAMESPACES, start_worker
from sport.sandbox.syscalls import ARCHITECTURES
from sport.sandbox.walls import landlock_abi
from sport.types import Record


class Layer(Record):
    """One layer of the sandbox.

    Attributes:
        name: Such as ``Landlock``.
        found: Whether it works here.
        detail: What was found, or why it does not work.
        mend: What would make it work; empty if it does.
    """

    name: str
    found: bool
    detail: str
    mend: str = ""


class TierReport(Record):
    """What :func:`probe_tier` found.

    Attributes:
        tier: ``strong``, ``standard`` or ``none``.
        layers: The layers, the outermost first.
    """

    tier: str
    layers: tuple[Layer, ...]


def probe_tier() -> TierReport:
    """Starts the sandbox in each tier and reports; takes about half a second."""
    reasons = {}
    bounds = "rlimits and a watcher"
    for tier in ("strong", "standard"):
        try:
            worker = start_worker(Limits(), {}, (), tier=tier)
        except SandboxError as error:
            reasons[tier] = str(error)
        else:
            bounds = worker.details["limits"]
            worker.stop()
    reached = next((t for t in ("strong", "standard") if t not in reasons), "none")
    layers = (_namespaces(reasons.get("strong")), _landlock(), _seccomp(reasons.get("standard")))
    return TierReport(tier=reached, layers=(*layers, _limits(bounds)))


def _namespaces(reason: str | None) -> Layer:
    name = "namespaces (bubblewrap)"
    if reason is None:
        return Layer(name=name, found=True, detail=NAMESPACES)
    if shutil.which("bwrap") is None:
        mend = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap)"
    else:
        mend = (
            "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), an "
            "AppArmor profile for bwrap (Ubuntu 24.04), --security-opt for both in Docker"
        )
    return Layer(name=name, found=False, detail=reason, mend=mend)


def _landlock() -> Layer:
    abi = landlock_abi()
    if abi:
        return Layer(name="Landlock", found=True, detail=f"version {abi}")
    return Layer(
        name="Landlock",
        found=False,
        detail=f"absent in Linux {platform.release()}",
        mend="Linux 5.13 or newer with landlock in the kernel's lsm= list",
    )


def _seccomp(reason: str | None) -> Layer:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        return Layer(
            name="seccomp", found=False, detail=f"no table for {machine}", mend=f"one of {known}"
        )
    if reason is not None and landlock_abi():
        mend = "let this container use seccomp and prctl(PR_SET_NO_NEW_PRIVS)"
        return Layer(name="seccomp", found=False, detail=reason, mend=mend)
    return Layer(name="seccomp", found=True, detail=f"filter for {machine}")


def _limits(bounds: str) -> Layer:
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    return Layer(name="limits", found=True, detail=f"{bounds}, as {who}")
