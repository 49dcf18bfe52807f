"""Hostile code against the sandbox: every attack in both tiers, as root and as an ordinary user.

What counts is the effect outside. Each control shows that the attack works where nothing stands
in its way.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attack import CLEAN, Attack, Target
from attack_servers import Servers
from attacks_inside import CHANNEL, EXHAUSTION, PERSISTENCE
from attacks_kernel import KERNEL, PROCESS, PROGRAM
from attacks_outside import NETWORK, READ, WRITE
from users import USERS, environment, identity, interpreter, uid_of

from sport.sandbox import launch

CLASSES = {
    "read": READ, "write": WRITE, "network": NETWORK, "process": PROCESS, "program": PROGRAM,
    "kernel": KERNEL, "channel": CHANNEL, "persistence": PERSISTENCE, "exhaustion": EXHAUSTION,
}  # fmt: skip
EVERYDAY = {
    "read": ("a file of mode 0666", "environment of the host"), "write": ("append", "rename over"),
    "network": ("tcp",), "process": ("signal", "ptrace"), "program": ("shell",),
    "kernel": ("user namespace",), "persistence": ("built-ins", "a daemon"),
}  # fmt: skip
HERE = Path(__file__).parent


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="sport-attack-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def servers(place: Path) -> Iterator[Servers]:
    """All sorts of servers, on this machine only."""
    with Servers(place) as made:
        yield made


def target(place: Path, name: str, attack: Attack, uid: int, servers: Servers) -> Target:
    folder = place / f"t{len(os.listdir(place))}"
    folder.mkdir()
    made = Target(folder.name, folder, f"secret-{secrets.token_hex(8)}")
    made.canary.write_text(made.secret)
    made.canary.chmod(0o666)
    folder.chmod(0o777)
    if uid != os.geteuid():
        os.chown(folder, uid, uid)
        os.chown(made.canary, uid, uid)
    made.stamp, made.received = made.look(), servers.received
    if attack.victim:
        made.victim = subprocess.Popen(
            ["/bin/sleep", "600"], env={"SECRET": made.secret}, stdin=subprocess.DEVNULL,
            **identity(uid))  # fmt: skip
    return made


def job(
    mode: str, attacks: dict[str, Attack], uid: int, place: Path, servers: Servers
) -> tuple[dict[str, Target], dict[str, Any]]:
    """Runs attacks from a host of this user's; what they aimed at, and what became of them."""
    targets = {n: target(place, n, a, uid, servers) for n, a in attacks.items()}
    first = next(iter(targets.values()))
    setuid = place / "setuid"
    if os.geteuid() == 0 and not setuid.exists():
        shutil.copy("/usr/bin/id", setuid)
        setuid.chmod(0o4755)
    places = {**servers.addresses, "sandbox_code": repr(launch.__file__)}
    codes = {n: a.aimed(targets[n], places) for n, a in attacks.items()}
    inherited = targets.get("an inherited descriptor", first).canary
    secret = targets.get("environment of the host", first).secret
    try:
        run = subprocess.run(
            [*interpreter(uid), str(HERE / "attack_host.py")],
            input=json.dumps({"mode": mode, "codes": codes, "inherited": str(inherited)}),
            env={**environment(), "SECRET": secret},
            cwd="/", capture_output=True, text=True, timeout=240, **identity(uid))  # fmt: skip
        assert run.returncode == 0, run.stderr
    finally:
        survivors = [t.victim for t in targets.values() if t.victim and t.victim.poll() is None]
    results = json.loads(run.stdout)
    succeeded = {n: attacks[n].effect(targets[n], results[n]) for n in attacks}
    for victim in survivors:
        victim.kill()
        victim.wait()
    for name, result in results.items():
        result["succeeded"] = succeeded[name]
    return targets, results


def faults(attacks: dict[str, Attack], results: dict[str, Any]) -> dict[str, Any]:
    """What went wrong, by attack: nothing if every wall stood and nobody else was harmed."""
    found = {}
    for name, attack in attacks.items():
        result = results[name]
        outcome, honest = result["outcome"], result["honest"]
        error = (outcome["error"] or {}).get("type")
        wrong = [
            result["succeeded"] and "it worked",
            attack.status not in ("", outcome["status"]) and f"not {attack.status}",
            error in ("SyntaxError", "NameError", "AttributeError") and "the attack is broken",
            not honest["value"] == "'honest'" and f"the sibling: {honest}",
            any(p != CLEAN for p in result["probes"]) and f"other worlds: {result['probes']}",
            result["left"] and f"{result['left']} processes or descriptors stayed",
        ]
        if any(wrong):
            found[name] = ([w for w in wrong if w], outcome)
    return found


@pytest.mark.parametrize("tier", ["strong", "standard"])
def test_everyday_attacks_fail(tier: str, place: Path, servers: Servers) -> None:
    attacks = {n: CLASSES[kind][n] for kind, names in EVERYDAY.items() for n in names}
    _, results = job(tier, attacks, os.geteuid(), place, servers)
    wrong = faults(attacks, results)
    assert not wrong, "\n".join(f"{n}: {w}" for n, w in wrong.items())


@pytest.mark.attack
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("tier", ["strong", "standard"])
@pytest.mark.parametrize("user", USERS)
def test_attacks_fail(user: str, tier: str, kind: str, place: Path, servers: Servers) -> None:
    attacks = CLASSES[kind]
    _, results = job(tier, attacks, uid_of(user), place, servers)
    assert len(results) == len(attacks)
    wrong = faults(attacks, results)
    assert not wrong, "\n".join(f"{n}: {w}" for n, w in wrong.items())


@pytest.mark.attack
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("user", USERS)
def test_controls_succeed(user: str, kind: str, place: Path, servers: Servers) -> None:
    uid = uid_of(user)
    failed = {}
    for mode, works in (("bare", ("any", user)), ("unsafe_local", ("unsafe_local",))):
        attacks = {n: a for n, a in CLASSES[kind].items() if a.control in works}
        if attacks:
            _, results = job(mode, attacks, uid, place, servers)
            failed |= {n: r["outcome"] for n, r in results.items() if not r["succeeded"]}
    assert not failed, "\n".join(f"{n}: {o}" for n, o in failed.items())
