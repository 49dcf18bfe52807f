"""The model servers that a run starts itself: which model each serves, and when it runs.

A server is started when it is first asked, serves the policy of the round, makes room while this
process tunes, and ends with the run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sport.config import Recipe, RecipeError
from sport.remote.child import ChildServer

Activity = Callable[[str], AbstractContextManager[object]]
"""Opens a block in which something is said to be going on."""


class Hosts:
    """The children of one run, by the recipe's sections."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        activity: Activity = lambda name: nullcontext(),
    ) -> None:
        """Starts nothing.

        Args:
            recipe: Says which servers there are.
            folder: Where their logs, and models with a merged adapter, are written.
            activity: Tells the user that something starts.
        """
        self._recipe = recipe
        self._folder = folder
        self._activity = activity
        keys = {name: s.key_env for name, s in recipe.servers().items() if s.key_env}
        serve = {"policy": recipe.policy.serve, "verifier": recipe.verifier.serve}
        self._children = {
            section: ChildServer(
                settings,
                recipe.servers()[section].url,
                folder / f"server-{section}.log",
                hidden=[key for owner, key in keys.items() if owner != section],
            )
            for section, settings in serve.items()
            if settings is not None
        }

    def policy(self, model: str, adapter: Path | None) -> str | None:
        """Has the policy's server serve a model; returns what it is called there.

        Args:
            model: Folder or hub name.
            adapter: An adapter, which is merged where the server does not load adapters.

        Returns:
            The name, or ``None`` where the run does not start that server.

        Raises:
            RecipeError: The tuned model cannot reach it.
            RemoteError: It does not start.
        """
        server = self._recipe.policy.server
        if "policy" not in self._children or server is None:
            return None
        if adapter is not None and not server.load_adapters:
            model = str(self._merged(model, adapter))
        self._start("policy", model)
        return server.model or model

    def verifier(self) -> None:
        """Has the verifier's server run, where it is the run's."""
        server = self._recipe.verifier.server
        if "verifier" in self._children and server is not None and server.model is not None:
            self._start("verifier", server.model)

    def writers(self) -> None:
        """Has the verifier's server run where tasks are written or checked by it, too."""
        servers = self._recipe.servers()
        urls = {server.url for name, server in servers.items() if name.startswith("synthesis")}
        if "verifier" in servers and servers["verifier"].url in urls:
            self.verifier()

    def free(self) -> None:
        """Makes room on the GPU."""
        for child in self._children.values():
            child.free()

    def close(self) -> None:
        """Ends them all."""
        for child in self._children.values():
            child.stop()

    def _start(self, section: str, model: str) -> None:
        child = self._children[section]
        if child.running and child.model == model:
            child.start(model)
            return
        with self._activity(f"the {section}'s server starts with {Path(model).name}"):
            child.start(model)

    def _merged(self, model: str, adapter: Path) -> Path:
        """A folder with the model and its adapter in one, made once."""
        from sport.policy.local import load_model
        from sport.policy.merge import write_merged
        from sport.remote.adapters import served_name

        serve = self._recipe.policy.serve
        assert serve is not None
        if not any("{model}" in part for part in serve.command):
            raise RecipeError(
                "policy.serve.command has no {model}, so the tuned policy cannot reach the server: "
                "put {model} where it names its model, or set policy.server.load_adapters = true "
                "where it loads adapters (vLLM)"
            )
        out = self._folder / "cache" / "merged" / served_name(adapter)
        if not out.is_dir():
            import torch

            with self._activity(f"{adapter.name} is merged for the server"):
                dtype = getattr(torch, self._recipe.policy.dtype)
                write_merged(*load_model(model, adapter, dtype), out)
        return out
