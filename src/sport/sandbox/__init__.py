"""Running model-written code, each candidate in a world of its own."""

from sport.sandbox.base import Limits, Sandbox, SandboxError, Snapshot
from sport.sandbox.fork import ForkSandbox
from sport.types import Outcome

__all__ = ["ForkSandbox", "Limits", "Outcome", "Sandbox", "SandboxError", "Snapshot"]
