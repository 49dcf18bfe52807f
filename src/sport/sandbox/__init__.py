"""Running model-written code, each candidate in a world of its own."""

from sport.sandbox.base import Limits, Sandbox, SandboxError, Snapshot
from sport.sandbox.fork import ForkSandbox
from sport.sandbox.tier import Layer, TierReport, probe_tier
from sport.types import Outcome

__all__ = [
    "ForkSandbox",
    "Layer",
    "Limits",
    "Outcome",
    "Sandbox",
    "SandboxError",
    "Snapshot",
    "TierReport",
    "probe_tier",
]
